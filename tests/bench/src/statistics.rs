//! Few figures of many.

/// The middle; between two, their mean.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => None,
        1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The least value that nine of ten do not exceed (nearest rank).
pub fn ninetieth(values: &[f64]) -> Option<f64> {
    let rank = (values.len() * 9).div_ceil(10);
    sorted(values).get(rank.checked_sub(1)?).copied()
}

/// The largest.
pub fn maximum(values: &[f64]) -> Option<f64> {
    sorted(values).last().copied()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_values_have_their_middle_their_ninth_and_their_last() {
        let values: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(median(&values), Some(5.5));
        assert_eq!(ninetieth(&values), Some(9.0));
        assert_eq!(maximum(&values), Some(10.0));
    }

    #[test]
    fn one_value_is_all_three_and_none_is_nothing() {
        assert_eq!([median(&[4.0]), ninetieth(&[4.0]), maximum(&[4.0])], [Some(4.0); 3]);
        assert_eq!([median(&[]), ninetieth(&[]), maximum(&[])], [None; 3]);
    }
}
