//! Which of our crates may depend on which.
//!
//! ```text
//!  4  sb-agent ─► sb-node, sb-web            sb-cli ─► sb-client, sb-api, sb-topology, sb-lab
//!  3  sb-node ─► every crate of level 1, sb-client       sb-web ─► sb-client, sb-api, sb-topology
//!     sb-exporter ─► sb-client, sb-api                   sb-lab, tests/* ─► sb-client, sb-api, sb-topology
//!  2  sb-client ─► sb-api, sb-topology
//!  1  sb-wireguard   sb-pgrepl   sb-backup   sb-failover   sb-consensus   sb-proxy   sb-api     (none knows another)
//!  0  sb-topology    sb-pgtypes
//! ```
//!
//! Level 1 uses level 0, and whoever knows a crate may also use the vocabulary that its signatures are
//! made of ([`VOCABULARY`]).

use crate::Finding;
use crate::workspace::{DependencyKind, Package};

/// What one package may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The package's name.
    pub package: &'static str,
    /// Its level in the drawing.
    pub level: u8,
    /// Our packages that its shipped code may use, beside the [`VOCABULARY`].
    pub may_use: &'static [&'static str],
    /// Our packages that only its tests, examples and benchmarks may use.
    pub tests_may_use: &'static [&'static str],
}

/// Pure types of level 0 that every crate above may speak in.
pub const VOCABULARY: &[&str] = &["sb-pgtypes"];

/// What the tests of every crate may make their hosts of, and nothing that ships.
pub const TEST_SUPPORTS: &[&str] = &["sb-testnet"];

const LEVEL_0: &[&str] = &["sb-topology", "sb-pgtypes"];

/// The drawing. A crate that it names and that does not exist yet is planned; a package that exists and
/// is not named here is refused.
pub const RULES: &[Rule] = &[
    rule("sb-pgtypes", 0, &[]),
    rule("sb-topology", 0, &[]),
    rule("sb-testnet", 0, &[]),
    rule("sb-wireguard", 1, LEVEL_0),
    rule("sb-pgrepl", 1, LEVEL_0),
    rule("sb-backup", 1, LEVEL_0),
    rule("sb-failover", 1, LEVEL_0),
    rule("sb-consensus", 1, LEVEL_0),
    rule("sb-proxy", 1, LEVEL_0),
    rule("sb-api", 1, LEVEL_0),
    // The names of servers and sites: a certificate is made for one of them.
    rule("sb-client", 2, &["sb-api", "sb-topology"]),
    rule("sb-lab", 3, &["sb-client", "sb-api", "sb-topology"]),
    rule("sb-web", 3, &["sb-client", "sb-api", "sb-topology"]),
    rule("sb-exporter", 3, &["sb-client", "sb-api"]),
    rule(
        "sb-node",
        3,
        &[
            "sb-wireguard",
            "sb-pgrepl",
            "sb-backup",
            "sb-failover",
            "sb-consensus",
            "sb-proxy",
            "sb-api",
            "sb-client",
            "sb-topology",
        ],
    ),
    rule("sb-agent", 4, &["sb-node", "sb-web"]),
    rule("sb-cli", 4, &["sb-client", "sb-api", "sb-topology", "sb-lab"]),
    rule("sb-e2e", 4, &["sb-client", "sb-api", "sb-topology", "sb-lab"]),
    rule("sb-bench", 4, &["sb-client", "sb-api", "sb-topology", "sb-lab"]),
    rule("sb-gate", 4, &["sb-api"]),
    // The two pure cores, run together on models of everything else.
    rule("sb-sim", 4, &["sb-consensus", "sb-failover", "sb-topology"]),
];

const fn rule(package: &'static str, level: u8, may_use: &'static [&'static str]) -> Rule {
    Rule { package, level, may_use, tests_may_use: &[] }
}

/// Our crates that decide and do not act: no socket, process, runtime, randomness or log.
pub const PURE: &[&str] = &["sb-pgtypes", "sb-topology", "sb-failover"];

/// What a pure crate may not ship with; its tests may.
pub const IMPURE: &[&str] = &[
    "tokio",
    "async-trait",
    "futures-util",
    "hyper",
    "axum",
    "tower",
    "sqlx",
    "rustls",
    "rand",
    "getrandom",
    "tracing",
    "log",
    "slog",
    "nix",
    "rustix",
    "libc",
    "signal-hook",
];

/// Every dependency of a [`PURE`] crate on an [`IMPURE`] one.
pub fn check_purity(packages: &[Package]) -> Vec<Finding> {
    let pure = packages.iter().filter(|package| PURE.contains(&package.name.as_str()));
    pure.flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| dependency.kind == DependencyKind::Normal)
        .filter(|(_, dependency)| IMPURE.contains(&dependency.name.as_str()))
        .map(|(package, dependency)| {
            Finding::new(
                format!("{} -> {}", package.name, dependency.name),
                "gives a pure crate the means to act",
                "Hand in what it needs as an argument or an event; acting is sb-node's.",
            )
        })
        .collect()
}

/// Every edge between `packages` that `rules` do not allow, and every package without a rule.
pub fn check(packages: &[Package], rules: &[Rule]) -> Vec<Finding> {
    packages.iter().flat_map(|package| check_package(package, packages, rules)).collect()
}

fn check_package(package: &Package, packages: &[Package], rules: &[Rule]) -> Vec<Finding> {
    let Some(rule) = rules.iter().find(|rule| rule.package == package.name) else {
        return vec![Finding::new(
            &package.name,
            "has no place in the layers",
            "Add it to `RULES` in tests/gate/src/layers.rs and to the drawing in ARCHITECTURE.md.",
        )];
    };
    package
        .dependencies
        .iter()
        // A crate's tests may ask for itself with another feature; nothing else can depend on itself (cargo refuses it).
        .filter(|dependency| dependency.name != package.name)
        .filter(|dependency| packages.iter().any(|other| other.name == dependency.name))
        .filter(|dependency| !allows(rule, &dependency.name, dependency.kind))
        .map(|dependency| forbidden(package, &dependency.name, dependency.kind))
        .collect()
}

fn allows(rule: &Rule, dependency: &str, kind: DependencyKind) -> bool {
    let shipped = rule.may_use.contains(&dependency) || (rule.level > 0 && VOCABULARY.contains(&dependency));
    match kind {
        DependencyKind::Normal | DependencyKind::Build => shipped,
        DependencyKind::Dev => {
            shipped || rule.tests_may_use.contains(&dependency) || TEST_SUPPORTS.contains(&dependency)
        }
    }
}

fn forbidden(package: &Package, dependency: &str, kind: DependencyKind) -> Finding {
    let section = match kind {
        DependencyKind::Normal => "dependencies",
        DependencyKind::Dev => "dev-dependencies",
        DependencyKind::Build => "build-dependencies",
    };
    Finding::new(
        format!("{} -> {dependency}", package.name),
        format!("is not allowed in [{section}]"),
        "Level-1 crates meet only in sb-node; a type that two of them need belongs to level 0.",
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, DependencyKind)]) -> Package {
        let dependency =
            |&(name, kind): &(&str, DependencyKind)| Dependency { name: name.to_owned(), kind, path: None };
        Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from("/w/Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn an_edge_between_two_crates_of_level_1_is_noticed() {
        let packages = [
            package("sb-failover", &[("sb-consensus", DependencyKind::Normal)]),
            package("sb-consensus", &[]),
        ];

        assert_eq!(places(&check(&packages, RULES)), ["sb-failover -> sb-consensus"]);
    }

    #[test]
    fn an_upward_edge_is_noticed_in_tests_and_build_scripts_too() {
        for kind in [DependencyKind::Normal, DependencyKind::Dev, DependencyKind::Build] {
            let packages = [package("sb-topology", &[("sb-node", kind)]), package("sb-node", &[])];

            assert_eq!(places(&check(&packages, RULES)), ["sb-topology -> sb-node"], "{kind:?}");
        }
    }

    #[test]
    fn what_only_tests_may_use_is_refused_in_shipped_code() {
        let rules = [
            Rule { package: "a", level: 1, may_use: &[], tests_may_use: &["b"] },
            Rule { package: "b", level: 0, may_use: &[], tests_may_use: &[] },
        ];
        let uses = |kind| [package("a", &[("b", kind)]), package("b", &[])];

        assert_eq!(check(&uses(DependencyKind::Dev), &rules), []);
        assert_eq!(places(&check(&uses(DependencyKind::Normal), &rules)), ["a -> b"]);
    }

    #[test]
    fn test_supports_are_for_every_crates_tests_and_for_nothing_that_ships() {
        let uses = |kind| [package("sb-node", &[("sb-testnet", kind)]), package("sb-testnet", &[])];

        assert_eq!(check(&uses(DependencyKind::Dev), RULES), []);
        assert_eq!(places(&check(&uses(DependencyKind::Normal), RULES)), ["sb-node -> sb-testnet"]);
    }

    #[test]
    fn the_tests_of_a_crate_may_ask_for_the_crate_itself() {
        let packages = [package("sb-failover", &[("sb-failover", DependencyKind::Dev)])];

        assert_eq!(check(&packages, RULES), []);
    }

    #[test]
    fn a_package_without_a_place_in_the_drawing_is_noticed() {
        assert_eq!(places(&check(&[package("sb-new", &[])], RULES)), ["sb-new"]);
    }

    #[test]
    fn crates_of_others_are_not_the_layers_business() {
        let packages = [package("sb-failover", &[("serde", DependencyKind::Normal)])];

        assert_eq!(check(&packages, RULES), []);
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_noticed_and_in_its_tests_is_not() {
        let uses = |kind| [package("sb-failover", &[("tokio", kind), ("serde", DependencyKind::Normal)])];

        assert_eq!(places(&check_purity(&uses(DependencyKind::Normal))), ["sb-failover -> tokio"]);
        assert_eq!(check_purity(&uses(DependencyKind::Dev)), []);
    }

    #[test]
    fn a_crate_that_acts_may_use_a_runtime() {
        assert_eq!(check_purity(&[package("sb-node", &[("tokio", DependencyKind::Normal)])]), []);
    }

    #[test]
    fn every_rule_points_to_a_lower_level() {
        for rule in RULES {
            for used in rule.may_use.iter().chain(rule.tests_may_use) {
                let target = RULES.iter().find(|other| other.package == *used).unwrap();
                assert!(target.level < rule.level, "{} -> {used}", rule.package);
            }
        }
    }
}
