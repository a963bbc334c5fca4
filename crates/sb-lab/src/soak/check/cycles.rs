//! Strongly connected components (Tarjan), without recursion: a history is deeper than a stack.

/// The components with more than one member, of a graph by its successors.
pub(super) fn components(successors: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let count = successors.len();
    let (mut index, mut low, mut on_stack) = (vec![NEW; count], vec![0; count], vec![false; count]);
    let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..count {
        if index[root] != NEW {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                (index[node], low[node], on_stack[node]) = (next, next, true);
                next += 1;
                stack.push(node);
            }
            if let Some(&to) = successors[node].get(edge) {
                path.push((node, edge + 1));
                if index[to] == NEW {
                    path.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node] {
                let begin = stack.iter().rposition(|member| *member == node).unwrap_or(0);
                let members = stack.split_off(begin);
                members.iter().for_each(|member| on_stack[*member] = false);
                if members.len() > 1 {
                    found.push(members);
                }
            }
        }
    }
    found
}

/// Whether a way leads from one node to another.
pub(super) fn reaches(successors: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = std::collections::BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        open.extend(successors[node].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(successors: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut found = components(successors);
        found.iter_mut().for_each(|members| members.sort_unstable());
        found.sort();
        found
    }

    #[test]
    fn cycles_are_found_and_what_only_leads_to_them_is_not() {
        let graph = [vec![1], vec![2], vec![0, 3], vec![4], vec![3, 5], vec![], vec![0]];
        assert_eq!(sorted(&graph), [vec![0, 1, 2], vec![3, 4]]);
    }

    #[test]
    fn a_graph_without_a_cycle_has_none() {
        assert_eq!(sorted(&[vec![1, 2], vec![2], vec![]]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_way_is_found_in_its_direction() {
        let graph = [vec![1], vec![2], vec![]];
        assert!(reaches(&graph, 0, 2));
        assert!(!reaches(&graph, 2, 0));
    }
}
