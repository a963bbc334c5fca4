//! The rules, applied to this repository.

use sb_gate::workspace::Workspace;
use sb_gate::{Finding, clocks, codes, documents, files, layers};

fn workspace() -> Workspace {
    Workspace::read().expect("cargo can describe the workspace that it built")
}

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), text.join("\n"));
}

#[test]
fn every_dependency_between_our_crates_is_in_the_drawing() {
    assert_none(&layers::check(&workspace().packages, layers::RULES));
}

#[test]
fn crates_that_decide_have_no_means_to_act() {
    assert_none(&layers::check_purity(&workspace().packages));
}

#[test]
fn source_files_are_short_and_named_after_their_role() {
    assert_none(&files::check_sources(&workspace()).unwrap());
}

#[test]
fn packages_take_the_workspaces_lints_and_libraries_have_an_example() {
    assert_none(&files::check_packages(&workspace()).unwrap());
}

#[test]
fn every_decision_is_dated_and_has_its_four_sections() {
    assert_none(&documents::check_decisions(&workspace()).unwrap());
}

#[test]
fn architecture_speaks_of_every_package() {
    assert_none(&documents::check_architecture(&workspace()).unwrap());
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_none(&documents::check_links(&workspace()).unwrap());
}

#[test]
fn tests_that_the_table_of_failures_names_exist() {
    assert_none(&documents::check_named_tests(&workspace()).unwrap());
}

/// patroni #3560: wall clocks jump, by hours, on one server only.
#[test]
fn nothing_that_decides_reads_the_wall_clock() {
    assert_none(&clocks::check(&workspace()).unwrap());
}

#[test]
fn every_code_that_the_programs_print_is_explained() {
    assert_none(&codes::check(&workspace()).unwrap());
}
