//! The weights of a model by bucket, and the eviction of the smallest when there are too many.

/// How much a bucket counts for or against one label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// The index of the class.
    pub class: u16,
    pub value: f32,
    /// The sum of the squares of its gradients.
    pub squares: f32,
}

/// A bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Number of documents with this bucket; common buckets weigh less.
    pub documents: u32,
    /// Sorted by class.
    pub weights: Vec<Weight>,
}

/// Drops the `drop` smallest weights by absolute value, or all if there are fewer; of equal ones, those of the first buckets. Returns the
/// number dropped.
pub fn drop_smallest(rows: &mut [Row], drop: usize) -> usize {
    let mut sizes: Vec<f32> = rows.iter().flat_map(|row| &row.weights).map(|weight| weight.value.abs()).collect();
    let drop = drop.min(sizes.len());
    if drop == 0 {
        return 0;
    }
    let (below, limit, _) = sizes.select_nth_unstable_by(drop - 1, f32::total_cmp);
    let limit = *limit;
    let mut ties = 1 + below.iter().filter(|size| **size == limit).count();
    for row in rows {
        row.weights.retain(|weight| {
            let size = weight.value.abs();
            let is_dropped = size < limit || size == limit && ties > 0;
            ties -= usize::from(is_dropped && size == limit);
            !is_dropped
        });
        row.weights.shrink_to_fit();
    }
    drop
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[&[f32]]) -> Vec<Row> {
        let weight = |value: &f32| Weight { class: 0, value: *value, squares: 1.0 };
        values.iter().map(|row| Row { documents: 1, weights: row.iter().map(weight).collect() }).collect()
    }

    #[track_caller]
    fn assert_left(before: &[&[f32]], drop: usize, after: &[&[f32]]) {
        let mut kept = rows(before);
        let count = |rows: &[Row]| rows.iter().map(|row| row.weights.len()).sum::<usize>();
        let dropped = drop_smallest(&mut kept, drop);
        assert_eq!(kept, rows(after));
        assert_eq!(dropped, count(&rows(before)) - count(&kept));
    }

    #[test]
    fn the_weakest_weights_are_dropped_regardless_of_sign() {
        assert_left(&[&[3.0, -0.1, 2.0], &[], &[0.2, -4.0]], 2, &[&[3.0, 2.0], &[], &[-4.0]]);
        assert_left(&[&[3.0, -0.1]], 0, &[&[3.0, -0.1]]);
        assert_left(&[&[3.0, -0.1]], 5, &[&[]]);
    }

    #[test]
    fn of_equal_weights_only_as_many_as_necessary_are_dropped() {
        assert_left(&[&[1.0, 1.0], &[0.5, -1.0], &[1.0, 2.0]], 3, &[&[], &[-1.0], &[1.0, 2.0]]);
    }
}
