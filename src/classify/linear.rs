//! A linear one-vs-rest model of one user's projects: logistic loss, AdaGrad steps, one document at a time. Deterministic: the same documents
//! in the same order give the same weights.

mod weights;

use anyhow::ensure;

use super::Label;
use super::features::{BUCKETS, Features};
pub(super) use weights::{Row, Weight};

/// Maximum number of labels in a model.
pub const MAX_LABELS: usize = 10_000;
/// Maximum number of weights in a model, of 12 bytes each. Beyond it, the smallest quarter is dropped.
pub const MAX_WEIGHTS: usize = 1 << 19;
/// Maximum number of candidates in a ranking.
pub const MAX_CANDIDATES: usize = 20;

/// Initial bias: a project without matching weights is unlikely.
const FIRST_BIAS: f32 = -3.0;
/// Projects below this probability skip the learning step of a document, so that thousands of projects cost no more than a few.
const UNLIKELY: f32 = 0.05;
/// Learning rate.
const RATE: f32 = 1.0;
/// Initial sums of squared gradients, of a weight and of a bias.
const FIRST_SQUARES: f32 = 1e-6;
const FIRST_BIAS_SQUARES: f32 = 1.0;

/// What was learnt about one label, apart from its weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class {
    pub label: Label,
    pub bias: f32,
    /// The sum of the squares of the bias's gradients.
    pub squares: f32,
    pub documents: u32,
}

/// What was learnt from one user's documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) documents: u32,
    pub(super) classes: Vec<Class>,
    /// One for each bucket.
    pub(super) rows: Vec<Row>,
    /// Number of weights in all rows.
    pub(super) weights: usize,
}

/// A label, and the model's confidence, from 0 to 1, that it is this one and no other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub label: Label,
    pub confidence: f32,
}

impl Default for Model {
    fn default() -> Self {
        Self { documents: 0, classes: Vec::new(), rows: vec![Row::default(); BUCKETS], weights: 0 }
    }
}

impl Model {
    /// Number of documents learnt.
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// Number of projects among the learnt labels.
    pub fn projects(&self) -> usize {
        self.classes.iter().filter(|class| class.label != Label::NoneOfThem).count()
    }

    /// Returns the best-fitting labels, best first, at most 20; none if the text has no features.
    pub fn rank(&self, features: &Features, is_among: impl Fn(Label) -> bool) -> Vec<Candidate> {
        if features.is_empty() {
            return Vec::new();
        }
        let mut ranked: Vec<(f32, Label)> = self
            .scores(&self.weighed(features))
            .into_iter()
            .map(logistic)
            .zip(self.classes.iter().map(|class| class.label))
            .filter(|(_, label)| is_among(*label))
            .collect();
        let best_first = |a: &(f32, Label), b: &(f32, Label)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if ranked.len() > MAX_CANDIDATES {
            ranked.select_nth_unstable_by(MAX_CANDIDATES - 1, best_first);
            ranked.truncate(MAX_CANDIDATES);
        }
        ranked.sort_unstable_by(best_first);
        let best_other = |index: usize| ranked.get(usize::from(index == 0)).map_or(0.0, |(other, _)| *other);
        let candidate = |(index, (own, label)): (usize, &(f32, Label))| Candidate {
            label: *label,
            confidence: own * (1.0 - best_other(index)),
        };
        ranked.iter().enumerate().map(candidate).collect()
    }

    /// Returns the buckets that raise a label's score, with their contributions; none for an unknown label.
    pub fn positive_weights(&self, features: &Features, label: Label) -> impl Iterator<Item = (u32, f32)> {
        let class = self.classes.iter().position(|class| class.label == label).map(|class| class as u16);
        let values = self.weighed(features).into_iter();
        let added = move |(bucket, value): (usize, f32)| {
            let weight = self.rows[bucket].weights.iter().find(|weight| Some(weight.class) == class)?;
            Some((bucket as u32, weight.value * value)).filter(|(_, added)| *added > 0.0)
        };
        values.filter_map(added)
    }

    /// Takes one step towards a person's assignment of a document.
    ///
    /// # Errors
    ///
    /// Returns an error and leaves the model unchanged if the label is new and there are already 10,000 labels.
    pub fn learn(&mut self, features: &Features, label: Label) -> anyhow::Result<()> {
        let own = self.class(label)?;
        self.documents = self.documents.saturating_add(1);
        self.classes[own].documents = self.classes[own].documents.saturating_add(1);
        for (bucket, _) in features.iter() {
            self.rows[bucket].documents = self.rows[bucket].documents.saturating_add(1);
        }
        let values = self.weighed(features);
        let steps = self.gradient_steps(&values, own);
        for (class, error) in &steps {
            let class = &mut self.classes[usize::from(*class)];
            step(&mut class.bias, &mut class.squares, *error);
        }
        for (bucket, value) in values {
            let weights = &mut self.rows[bucket].weights;
            for (class, error) in &steps {
                let at = weights.binary_search_by_key(class, |weight| weight.class).unwrap_or_else(|at| {
                    weights.insert(at, Weight { class: *class, value: 0.0, squares: FIRST_SQUARES });
                    self.weights += 1;
                    at
                });
                let weight = &mut weights[at];
                step(&mut weight.value, &mut weight.squares, error * value);
            }
        }
        if self.weights > MAX_WEIGHTS {
            self.weights -= weights::drop_smallest(&mut self.rows, MAX_WEIGHTS / 4);
        }
        Ok(())
    }

    /// Returns the index of a label's class, adding the class if needed.
    fn class(&mut self, label: Label) -> anyhow::Result<usize> {
        if let Some(known) = self.classes.iter().position(|class| class.label == label) {
            return Ok(known);
        }
        ensure!(self.classes.len() < MAX_LABELS, "a model has at most {MAX_LABELS} labels");
        self.classes.push(Class { label, bias: FIRST_BIAS, squares: FIRST_BIAS_SQUARES, documents: 0 });
        Ok(self.classes.len() - 1)
    }

    /// Returns the prediction error of each class that learns from this document, by class index.
    fn gradient_steps(&self, values: &[(usize, f32)], own: usize) -> Vec<(u16, f32)> {
        let probabilities = self.scores(values).into_iter().map(logistic).enumerate();
        let learns = probabilities.filter(|(class, probability)| *class == own || *probability > UNLIKELY);
        learns.map(|(class, probability)| (class as u16, if class == own { probability - 1.0 } else { probability })).collect()
    }

    /// Weights the values by the rarity of their buckets and normalises their squares to a sum of 1.
    fn weighed(&self, features: &Features) -> Vec<(usize, f32)> {
        let all = self.documents as f32 + 1.0;
        let rarity = |bucket: usize| 1.0 + (all / (self.rows[bucket].documents as f32 + 1.0)).ln();
        let mut values: Vec<(usize, f32)> = features.iter().map(|(bucket, value)| (bucket, value * rarity(bucket))).collect();
        let length = values.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        values.iter_mut().for_each(|(_, value)| *value /= length);
        values
    }

    /// Scores by class: bias plus weighted values.
    fn scores(&self, values: &[(usize, f32)]) -> Vec<f32> {
        let mut scores: Vec<f32> = self.classes.iter().map(|class| class.bias).collect();
        for (bucket, value) in values {
            for weight in &self.rows[*bucket].weights {
                scores[usize::from(weight.class)] += weight.value * value;
            }
        }
        scores
    }
}

/// Takes one AdaGrad step against a gradient: the more a value has moved, the less it moves.
fn step(value: &mut f32, squares: &mut f32, gradient: f32) {
    *squares += gradient * gradient;
    *value -= RATE * gradient / squares.sqrt();
}

fn logistic(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::features::{Text, features};
    use super::*;

    fn project(number: u128) -> Label {
        Label::Project(Uuid::from_u128(number))
    }
    fn of(body: &str) -> Features {
        features(&Text { body, ..Text::default() })
    }

    /// A model of two projects and "none of them".
    fn taught() -> Model {
        let mut model = Model::default();
        for round in 0..10 {
            model.learn(&of(&format!("the bridge needs steel {round}")), project(1)).expect("a free label");
            model.learn(&of(&format!("the garden needs water {round}")), project(2)).expect("a free label");
            model.learn(&of(&format!("the lottery needs you {round}")), Label::NoneOfThem).expect("a free label");
        }
        model
    }

    #[test]
    fn the_model_recalls_what_it_learnt_including_no_project() {
        let model = taught();
        for (text, label) in [("steel for a bridge", project(1)), ("water", project(2)), ("a lottery", Label::NoneOfThem)] {
            let ranked = model.rank(&of(text), |_| true);
            assert_eq!((ranked.len(), ranked[0].label), (3, label), "{text}");
            assert!(ranked[0].confidence > 4.0 * ranked[1].confidence, "{ranked:?}");
        }
        assert_eq!((model.documents(), model.projects()), (30, 2));
    }

    #[test]
    fn ambiguous_and_unseen_documents_are_not_confident() {
        let mixed = taught().rank(&of("water under the bridge: steel for the garden"), |_| true);
        assert!(mixed[0].confidence < 0.6, "{mixed:?}");
        let mut even = taught();
        even.classes.iter_mut().for_each(|class| class.bias = 0.0);
        assert!(even.rank(&of("unbekannt"), |_| true).iter().all(|one| one.confidence == 0.25));
        let unknown = taught().rank(&of("un texte tout autre"), |_| true);
        assert!(unknown[0].confidence < 0.3, "{unknown:?}");
        assert_eq!(taught().rank(&of(""), |_| true), []);
        assert_eq!(Model::default().rank(&of("bridge"), |_| true), []);
    }

    #[test]
    fn the_same_documents_in_the_same_order_give_the_same_model() {
        assert_eq!(taught(), taught());
        let mut other = taught();
        other.learn(&of("steel"), project(1)).expect("a free label");
        assert_ne!(other, taught());
    }

    #[test]
    fn common_features_weigh_less_than_rare_ones() {
        let (model, text) = (taught(), of("the bridge"));
        let (weighed, plain) = (model.weighed(&text), text.iter().collect::<Vec<_>>());
        let bucket = |word: &str| of(word).iter().next().expect("a word").0;
        let value = |values: &[(usize, f32)], word: &str| values.iter().find(|(at, _)| *at == bucket(word)).expect("it").1;
        assert_eq!(value(&plain, "the"), value(&plain, "bridge"));
        assert!(2.0 * value(&weighed, "the") < value(&weighed, "bridge"), "{weighed:?}");
    }

    #[test]
    fn a_full_model_drops_a_quarter_of_its_weights() {
        let mut model = taught();
        for row in &mut model.rows {
            row.weights = [0, 1].map(|class| Weight { class, value: 0.001, squares: 1.0 }).to_vec();
        }
        model.weights = MAX_WEIGHTS;
        model.learn(&of("the bridge needs something quite new"), Label::NoneOfThem).expect("a free label");
        assert!(model.weights < MAX_WEIGHTS / 4 * 3 + 100, "{}", model.weights);
        assert_eq!(model.weights, model.rows.iter().map(|row| row.weights.len()).sum::<usize>());
    }

    #[test]
    fn thousands_of_projects_are_distinguished_within_the_memory_limit() {
        let mut model = Model::default();
        for round in 0..2 {
            for number in 0..2_000 {
                model.learn(&of(&format!("p{number} q{number} and the rest {round}")), project(number)).expect("a free label");
            }
        }
        assert!(model.weights < 250_000, "{}", model.weights);
        let ranked = model.rank(&of("p1234 q1234"), |_| true);
        assert_eq!((ranked.len(), ranked[0].label), (MAX_CANDIDATES, project(1234)));
    }

    #[test]
    fn one_label_too_many_is_refused_without_effect() {
        let mut model = Model::default();
        let class = |number| Class { label: project(number), bias: FIRST_BIAS, squares: FIRST_BIAS_SQUARES, documents: 1 };
        model.classes = (0..MAX_LABELS as u128).map(class).collect();
        let before = model.clone();
        assert!(model.learn(&of("bridge"), project(u128::MAX)).is_err());
        assert_eq!(model, before);
        model.learn(&of("bridge"), project(9_999)).expect("a known label");
        assert_eq!(model.rank(&of("bridge"), |_| true)[0].label, project(9_999));
    }
}
