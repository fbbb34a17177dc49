//! A report as one page that needs nothing else: no script, no network, no other file.
//!
//! Everything that comes from outside is put into the page by `maud`, which escapes it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::row::Report;
use super::charts::{self, Chart};
use super::grids::{self, Cell, Grid, Role};
use super::groups::{Group, Kind, absent, clean};
use super::parts::Parts;
use super::verdict::{sentence, summaries};

const STYLE: &str = include_str!("page.css");

/// Tables of more columns are set smaller.
const WIDE: usize = 12;

/// Nothing is loaded and nothing is run, whatever the texts of a report say.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Lacuna compared" }
                style { (PreEscaped(STYLE)) }
            }
            (body(report))
        }
    };
    page.into_string()
}

fn body(report: &Report) -> Markup {
    let kinds = Kind::ALL.map(|kind| (kind, Group::all(report, kind)));
    let kinds = || kinds.iter().filter(|(_, groups)| !groups.is_empty());
    let charts = charts::all(report);
    let parts = Parts::all(report);
    html! {
        body {
            main {
                header {
                    h1 { "Lacuna compared" }
                    p.verdict { (sentence(report)) }
                    pre { code { (clean(&report.command)) } }
                    (pairs(&report.machine))
                }
                @for (kind, groups) in kinds() {
                    @let summaries = summaries(groups);
                    @if !summaries.is_empty() {
                        section {
                            h2 { "Lacuna over dense engines, " (name(*kind)) }
                            p.remark { "How many times as long each dense engine takes, where both results agree." }
                            (table(&grids::summary(&summaries)))
                        }
                    }
                }
                @if !charts.is_empty() {
                    section.charts { @for chart in &charts { (figure(chart)) } }
                }
                @for (kind, groups) in kinds() {
                    section {
                        h2 { "Measurements, " (name(*kind)) }
                        (table(&grids::measurements(*kind, groups)))
                        (lines("remarks", &grids::legend(*kind, groups)))
                        p.remark {
                            "The bar below a time is its share of the longest on the subject. "
                            "Point at an engine to see the implementation that it reports."
                        }
                        @let notes = grids::notes(groups);
                        @if !notes.is_empty() { h3 { "Notes" } (lines("", &notes)) }
                    }
                }
                @if !parts.is_empty() {
                    section {
                        h2 { "Where the time of a layer goes" }
                        @for parts in &parts { h3 { (parts.title) } (table(&grids::parts(parts))) }
                    }
                }
                @if !report.rows.is_empty() {
                    section { h2 { "Engines" } (table(&grids::engines(report))) }
                }
                @if !report.absent.is_empty() {
                    section { h2 { "Not measured" } (pairs(&report.absent.iter().map(absent).collect::<Vec<_>>())) }
                }
                @if !report.method.is_empty() {
                    section {
                        h2 { "Method" }
                        (lines("", &report.method.iter().map(|line| clean(line)).collect::<Vec<_>>()))
                    }
                }
            }
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Product => "products",
        Kind::Model => "whole models",
    }
}

fn pairs(pairs: &[(String, String)]) -> Markup {
    html! {
        dl { @for (name, value) in pairs { div { dt { (clean(name)) } dd { (clean(value)) } } } }
    }
}

fn lines(class: &str, lines: &[String]) -> Markup {
    html! {
        ul class=(class) { @for line in lines { li { (line) } } }
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        figure {
            h2 { (chart.title) }
            @match &chart.svg {
                Ok(svg) => div.drawing { (PreEscaped(svg)) },
                Err(error) => p { "This chart could not be drawn: " (error) },
            }
            figcaption { (chart.caption) }
        }
    }
}

fn table(grid: &Grid) -> Markup {
    let class = |column: usize| if grid.headings.get(column).is_some_and(|h| h.is_text) { "text" } else { "number" };
    html! {
        div.scroll {
            table.wide[grid.headings.len() > WIDE] {
                thead {
                    tr {
                        @for (i, heading) in grid.headings.iter().enumerate() {
                            th scope="col" class=(class(i)) { (times(&heading.text)) }
                        }
                    }
                }
                @for section in &grid.sections {
                    tbody {
                        @if let Some(title) = &section.title {
                            tr.subject { th scope="rowgroup" colspan=(grid.headings.len()) { (title) } }
                        }
                        @for row in &section.rows {
                            tr.lacuna[is_lacuna(row)] {
                                @for (i, cell) in row.iter().enumerate() { (place(class(i), cell)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `x onnxruntime-qdq` with a sign of multiplication, in a form that breaks well.
fn times(heading: &str) -> String {
    let engine = |name: &str| format!("\u{d7}\u{a0}{}", name.replace("onnxruntime", "onnx\u{ad}runtime"));
    heading.strip_prefix("x ").map_or_else(|| heading.to_owned(), engine)
}

fn is_lacuna(row: &[Cell]) -> bool {
    row.iter().any(|cell| matches!(cell.role, Role::Engine { is_lacuna: true, .. }))
}

fn place(class: &str, cell: &Cell) -> Markup {
    match &cell.role {
        Role::Plain => html! { td class=(class) { (cell.text) } },
        Role::Wrong => html! { td class={ (class) " wrong" } { (cell.text) } },
        Role::Engine { implementation, .. } => html! { td class=(class) title=(implementation) { (cell.text) } },
        Role::Time(share) => {
            let share = format!("--share: {:.1}%", share * 1e2);
            html! { td class={ (class) " time" } style=(share) { (cell.text) } }
        }
        Role::Ratio(ratio) => html! { td class={ (class) (tint(*ratio)) } { (cell.text) } },
    }
}

/// The class for the colour of a ratio, by powers of two.
fn tint(ratio: f64) -> &'static str {
    let doublings = ratio.log2();
    let steps = if doublings < 0.0 {
        [" slower-1", " slower-2", " slower-3", " slower-4"]
    } else {
        [" faster-1", " faster-2", " faster-3", " faster-4"]
    };
    match doublings.abs() {
        d if d < 0.07 => "", // within 5 %
        d if d < 0.75 => steps[0],
        d if d < 1.75 => steps[1],
        d if d < 3.0 => steps[2],
        _ => steps[3],
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    /// The body as XML: every element that is opened is closed.
    fn parse(page: &str) -> roxmltree::Document<'_> {
        let (start, end) = (page.find("<body>").unwrap(), page.find("</body>").unwrap());
        roxmltree::Document::parse(&page[start..end + "</body>".len()]).unwrap()
    }

    #[test]
    fn a_page_is_well_formed_and_needs_nothing_else() {
        for report in [fixtures::kernels(), fixtures::models(), fixtures::everything(), fixtures::sweep()] {
            let page = page(&report);
            let document = parse(&page);
            assert!(page.starts_with("<!DOCTYPE html>"));
            assert!(!page.contains("<script") && !page.contains("@import") && !page.contains("url("));
            let links = document.descendants().flat_map(|node| node.attributes());
            assert!(links.into_iter().all(|a| !["src", "href", "onload", "onclick"].contains(&a.name())));
            for node in document.descendants().filter(|node| node.has_tag_name("tr")) {
                let table = node.ancestors().find(|node| node.has_tag_name("table")).unwrap();
                let cells = |row: roxmltree::Node<'_, '_>| -> usize {
                    let cells = row.children().filter(|cell| cell.is_element());
                    cells.map(|cell| cell.attribute("colspan").map_or(1, |span| span.parse().unwrap())).sum()
                };
                let head = table.descendants().find(|node| node.has_tag_name("tr")).unwrap();
                assert_eq!(cells(node), cells(head));
            }
        }
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let page = page(&fixtures::hostile());
        assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\0'));
        let document = parse(&page);
        assert!(document.descendants().all(|node| !node.has_tag_name("script")));
        let said = |text: &str| document.descendants().any(|node| node.text().is_some_and(|t| t.contains(text)));
        for text in [
            "<script>alert('lacuna compare all",
            "<script>alert('cpu')",
            "<script>alert('4x1')",
            "<script>alert('bert-base')",
            "<script>alert('3.6.2')",
            "<script>alert('brg_matmul",
            "<script>alert('gemm-f32')",
            "<script>alert('candle-f32: this command",
            "<script>alert('Models agree",
            "<script>alert('the worker",
        ] {
            assert!(said(text), "{text}");
        }
        let attributes = || document.descendants().flat_map(|node| node.attributes());
        assert!(attributes().any(|a| a.name() == "title" && a.value().contains("<script>")));
        assert!(attributes().any(|a| a.name() == "aria-label" && a.value().contains("<script>")));
    }

    #[test]
    fn the_page_says_what_the_terminal_says() {
        let report = fixtures::everything();
        let (page, text) = (page(&report), super::super::table::text(&report));
        let document = parse(&page);
        let table_cells = document.descendants().filter(|node| node.has_tag_name("td"));
        for cell in table_cells.filter_map(|cell| cell.text()) {
            assert!(text.contains(cell), "{cell}");
        }
        let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
        assert_eq!(count("svg"), count("figure"));
        assert_eq!(count("figure"), 4);
        assert!(page.contains("DISAGREES") && page.contains("Not measured") && page.contains("no result"));
        assert!(page.contains(&sentence(&report)));
    }

    #[test]
    fn ratios_are_tinted_by_how_much_they_say() {
        assert_eq!([1.0, 1.04, 0.96].map(tint), ["", "", ""]);
        assert_eq!([1.2, 2.0, 6.0, 30.0].map(tint), [" faster-1", " faster-2", " faster-3", " faster-4"]);
        assert_eq!([0.8, 0.5, 0.2, 0.01].map(tint), [" slower-1", " slower-2", " slower-3", " slower-4"]);
    }

    #[test]
    fn every_colour_of_charts_has_its_counterpart_on_dark_screens() {
        let colours = |svg: &str| -> Vec<String> {
            let document = roxmltree::Document::parse(svg).unwrap();
            let attributes = document.descendants().flat_map(|node| node.attributes());
            let colours = attributes.filter(|a| matches!(a.name(), "fill" | "stroke") && a.value() != "none");
            colours.map(|a| format!("[{}=\"{}\"]", a.name(), a.value())).collect()
        };
        let charts = [fixtures::everything(), fixtures::sweep()].into_iter().flat_map(|report| charts::all(&report));
        for colour in charts.flat_map(|chart| colours(&chart.svg.unwrap())) {
            assert!(STYLE.contains(&colour), "{colour}");
        }
    }

    /// `LACUNA_PAGES=DIR cargo test -p lacuna-tools pages_to_look_at -- --ignored`
    #[test]
    #[ignore = "writes pages for a person to look at"]
    fn pages_to_look_at() {
        let Some(dir) = std::env::var_os("LACUNA_PAGES") else {
            println!("skipped: LACUNA_PAGES names no directory");
            return;
        };
        let reports = [
            ("kernels", fixtures::kernels()),
            ("models", fixtures::models()),
            ("threads", fixtures::threads()),
            ("sweep", fixtures::sweep()),
            ("everything", fixtures::everything()),
            ("hostile", fixtures::hostile()),
        ];
        for (name, report) in reports {
            let place = std::path::Path::new(&dir);
            std::fs::write(place.join(name).with_extension("html"), page(&report)).unwrap();
            std::fs::write(place.join(name).with_extension("txt"), super::super::table::text(&report)).unwrap();
        }
    }
}
