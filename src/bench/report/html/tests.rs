//! The page is one file that asks for nothing, whatever the findings hold.

use super::*;
use crate::bench::findings::{Camp, Disagreement, ProviderState};
use crate::bench::report::plausible;
use proptest::prelude::*;

/// Start tags with their attributes, as a browser would cut them.
fn tags(page: &str) -> Vec<&str> {
    let body = page.split_once("</style>").map_or("", |(_, rest)| rest);
    body.split('<').skip(1).filter(|part| !part.starts_with(['/', '!'])).filter_map(|part| part.split('>').next()).collect()
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    for providers in [0, 1, 2, 5, 12] {
        let page = write(&plausible::findings(7, providers));
        assert!(page.starts_with("<!DOCTYPE html>"), "{}", &page[..40]);
        for word in [
            "<script",
            "<iframe",
            "<img",
            "<object",
            "<form",
            "@import",
            "url(",
            "src=",
            "srcset",
            "http://",
            "https://",
            "javascript:",
            " style=",
            "onclick",
            "onload",
        ] {
            assert!(!page.contains(word), "{word} with {providers} providers");
        }
        for tag in tags(&page).into_iter().filter(|tag| tag.contains("href=")) {
            assert!(tag.contains("href=\"#"), "{tag}");
        }
    }
}

#[test]
fn the_policy_names_the_style_that_is_there() {
    let page = write(&plausible::findings(7, 2));
    let (_, rest) = page.split_once("<style>").expect("a style");
    let (style, _) = rest.split_once("</style>").expect("its end");
    assert_eq!(style, page::STYLE, "the digest is of these bytes");
    assert!(page::policy().starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(page.contains(&page::policy()), "the page has it");
    assert!(!page::STYLE.contains(['\r', '<']));
}

#[test]
fn every_part_is_there_and_every_drawing_says_what_it_is() {
    let findings = plausible::findings(7, 5);
    let page = write(&findings);
    for part in [
        "Verdict",
        "Comparison",
        "Providers",
        "New blocks",
        "Failures",
        "Answered differently",
        "All figures",
        "How to read this",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let told = crate::bench::report::verdict::told(&findings);
    for sentence in told.iter().filter(|sentence| sentence.about != crate::bench::report::verdict::About::Reach) {
        assert!(page.contains(&maud::html! { (sentence.text) }.into_string()), "{}", sentence.text);
    }
    let (images, titled) = (page.matches("role=\"img\"").count(), page.matches("role=\"img\"><title>").count());
    assert!(images > 20 && images == titled, "{images} drawings, {titled} with a title");
    assert_eq!(page.matches("<table").count(), page.matches("<thead").count());
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

#[test]
fn a_run_that_was_ended_says_so_first() {
    let mut findings = plausible::findings(7, 2);
    findings.run.is_interrupted = true;
    let page = write(&findings);
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part}"));
    assert!(at("class=\"ended\"") < at("class=\"lead\""));
    assert!(page.contains("ended early, after 60 s of 60 s"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever names, hosts, reasons, versions, categories, methods and answers are: the page has the same tags.
    #[test]
    fn what_comes_from_outside_is_text(evil in "(<script>|</style>|\"|'|>|<|&|<!--|\\PC){1,12}") {
        let with = |text: &str| {
            let mut findings = plausible::findings(7, 3);
            for provider in &mut findings.providers {
                provider.name = text.to_owned();
                provider.host = text.to_owned();
                provider.client_version = Some(text.to_owned());
                provider.missing_methods = vec![text.to_owned()];
            }
            findings.providers[2].state = ProviderState::Dead { reason: text.to_owned() };
            findings.run.mix = text.to_owned();
            findings.cells[0].method = text.to_owned();
            findings.cells[1].errors.insert(text.to_owned(), 3);
            findings.disagreements = vec![Disagreement {
                method: text.to_owned(),
                params: text.to_owned(),
                block_number: 1,
                camps: vec![
                    Camp { providers: vec![0, 1], answer: text.to_owned() },
                    Camp { providers: vec![2], answer: text.to_owned() },
                ],
            }];
            write(&findings)
        };
        let names = |page: &str| -> Vec<String> {
            let first = |tag: &str| tag.split([' ', '>']).next().unwrap_or("").to_owned();
            // Where a name may break, and whether it is the name of something rare, depends on the name.
            tags(page).into_iter().map(first).filter(|tag| tag != "wbr").collect()
        };
        prop_assert_eq!(names(&with(&evil)), names(&with("plain")));
    }
}

/// `LASSO_REPORT=FOLDER cargo test --lib report::html -- --ignored`: pages to be looked at.
#[test]
#[ignore = "writes pages into the folder that LASSO_REPORT names, to be looked at"]
fn writes_pages() {
    let folder = std::env::var("LASSO_REPORT").expect("LASSO_REPORT names a folder");
    for providers in [2, 5, 12] {
        let path = format!("{folder}/report-{providers}.html");
        std::fs::write(&path, write(&plausible::findings(7, providers))).expect("the folder can be written to");
    }
    let mut ended = plausible::drawn(plausible::Scene { truth: 7, draw: 8, providers: 3, calls: 40, slowed: None });
    ended.run.is_interrupted = true;
    ended.run.measured_seconds = 4.0;
    std::fs::write(format!("{folder}/report-ended.html"), write(&ended)).expect("the folder can be written to");
}
