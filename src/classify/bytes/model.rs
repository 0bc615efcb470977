//! Serialises the model within a learner's bytes.

use anyhow::{bail, ensure};
use uuid::Uuid;

use super::numbers::{Reader, Writer};
use crate::classify::Label;
use crate::classify::features::BUCKETS;
use crate::classify::linear::{Class, MAX_LABELS, MAX_WEIGHTS, Model, Row, Weight};

/// Writes a model.
pub fn write(model: &Model, out: &mut Writer) {
    out.count(model.documents);
    out.count(model.classes.len() as u32);
    for class in &model.classes {
        match class.label {
            Label::NoneOfThem => out.0.push(0),
            Label::Project(id) => {
                out.0.push(1);
                out.0.extend(id.as_bytes());
            }
        }
        out.number(class.bias);
        out.number(class.squares);
        out.count(class.documents);
    }
    let rows: Vec<(usize, &Row)> = model.rows.iter().enumerate().filter(|(_, row)| row.documents > 0).collect();
    out.count(rows.len() as u32);
    let mut next = 0;
    for (bucket, row) in rows {
        out.count((bucket - next) as u32);
        next = bucket + 1;
        out.count(row.documents);
        out.count(row.weights.len() as u32);
        for weight in &row.weights {
            out.count(weight.class.into());
            out.number(weight.value);
            out.number(weight.squares);
        }
    }
}

/// Reads a model.
pub fn read(input: &mut Reader) -> anyhow::Result<Model> {
    let mut model = Model { documents: input.count()?, ..Model::default() };
    let classes = input.count()? as usize;
    ensure!(classes <= MAX_LABELS, "the model has {classes} labels");
    for _ in 0..classes {
        let label = match input.take()? {
            [0] => Label::NoneOfThem,
            [1] => Label::Project(Uuid::from_bytes(input.take()?)),
            [other] => bail!("the model has a label of kind {other}"),
        };
        let (bias, squares) = (input.number()?, input.squares()?);
        model.classes.push(Class { label, bias, squares, documents: input.count()? });
    }
    let mut next = 0;
    for _ in 0..input.count()? {
        let bucket = next + input.count()? as usize;
        ensure!(bucket < BUCKETS, "the model has more than {BUCKETS} buckets");
        next = bucket + 1;
        let row = row(input, classes, model.documents)?;
        model.weights += row.weights.len();
        ensure!(model.weights <= MAX_WEIGHTS, "the model has more than {MAX_WEIGHTS} weights");
        model.rows[bucket] = row;
    }
    Ok(model)
}

fn row(input: &mut Reader, classes: usize, max: u32) -> anyhow::Result<Row> {
    let documents = input.count()?;
    ensure!((1..=max).contains(&documents), "a bucket of the model has {documents} documents of {max}");
    let mut row = Row { documents, weights: Vec::new() };
    let mut min = 0;
    for _ in 0..input.count()? {
        let class = input.count()?;
        ensure!(class >= min && (class as usize) < classes, "a weight of the model has an invalid label");
        min = class + 1;
        row.weights.push(Weight { class: class as u16, value: input.number()?, squares: input.squares()? });
    }
    row.weights.shrink_to_fit();
    Ok(row)
}
