//! The house rules that a program can check.

use std::path::{Path, PathBuf};

use wasm_chord_tests::workspace;

/// Longest file, in lines.
const LINES: usize = 700;

/// A source file of ours.
struct Source {
    /// From the top of the workspace, with `/`.
    name: String,
    text: String,
}

/// All Rust files of the workspace but what is built.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["host", "guest", "kernels", "tests", "examples", "xtask"] {
        collect(&workspace().join(folder), &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn collect(folder: &Path, files: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target" && name != "build" && name != "data") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(workspace()).expect("it lies in the workspace");
            let name = name.to_string_lossy().replace('\\', "/");
            files.push(Source { name, text: std::fs::read_to_string(&path).expect("it can be read") });
        }
    }
}

/// No file breaks the rule; those that do are named with what they say there.
fn nobody(rule: impl Fn(&Source) -> Vec<String>) {
    let broken: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            rule(source).into_iter().map(|what| format!("{}: {what}", source.name)).collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Lines of code with their numbers: no comments, and no unit tests.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().zip(1..).take_while(|(line, _)| line.trim() != "mod tests {");
    let lines = lines.filter(|_| !is_unit_test(source));
    lines.filter(|(line, _)| !line.trim_start().starts_with("//")).map(|(line, number)| (number, line))
}

/// Whether the file holds the unit tests of the module that it lies beside.
fn is_unit_test(source: &Source) -> bool {
    source.name.contains("/src/") && source.name.ends_with("/tests.rs")
}

#[test]
fn every_file_says_what_it_is() {
    nobody(|source| {
        let mut lines = source.text.lines();
        if is_unit_test(source)
            || lines.find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//! "))
        {
            return Vec::new();
        }
        vec!["it does not begin with `//! `".into()]
    });
}

#[test]
fn no_file_is_too_long() {
    nobody(|source| match source.text.lines().count() {
        lines if lines > LINES => vec![format!("{lines} lines")],
        _ => Vec::new(),
    });
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    nobody(|source| {
        let lines: Vec<&str> = source.text.lines().collect();
        // One sentence may stand for a few blocks below it.
        let explained =
            |index: usize| lines[index.saturating_sub(12)..=index].iter().any(|line| line.contains("SAFETY"));
        let says = |line: &str, what: &str| line.contains(&["unsa", what].concat());
        (0..lines.len())
            .filter(|&index| !lines[index].trim_start().starts_with("//"))
            .filter(|&index| says(lines[index], "fe {") || says(lines[index], "fe impl"))
            .filter(|&index| !explained(index))
            .map(|index| format!("line {}: {}", index + 1, lines[index].trim()))
            .collect()
    });
}

#[test]
fn libraries_do_not_print() {
    let prints = ["println!", "print!(", "eprintln!", "eprint!(", "dbg!("];
    nobody(|source| {
        let library = [
            "host/src/",
            "host/space/src/",
            "guest/src/",
            "guest/gguf/src/",
            "kernels/src/",
            "kernels/portable/src/",
        ];
        let program = ["host/src/main.rs", "host/src/cli/"];
        if !library.iter().any(|folder| source.name.starts_with(folder))
            || program.iter().any(|part| source.name.starts_with(part))
        {
            return Vec::new();
        }
        let printing = code(source).filter(|(_, line)| prints.iter().any(|print| line.contains(print)));
        printing.map(|(number, line)| format!("line {number}: {}", line.trim())).collect()
    });
}

#[test]
fn nothing_is_left_for_later() {
    // In two halves, so that this file does not find itself.
    let marks =
        [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("to", "do!("), ("unimple", "mented!("), ("#[ig", "nore")];
    let marks = marks.map(|(first, second)| [first, second].concat());
    nobody(|source| {
        let found = source
            .text
            .lines()
            .zip(1..)
            .filter(|(line, _)| marks.iter().any(|mark| line.contains(mark.as_str())));
        found.map(|(line, number)| format!("line {number}: {}", line.trim())).collect()
    });
}

#[test]
fn host_and_kernels_know_no_architecture_and_no_file_format() {
    let names = ["llama", "qwen", "mistral", "gemma", "gguf", "tokenizer", "bpe", "jinja"];
    nobody(|source| {
        let ignorant = (source.name.starts_with("host/src/") || source.name.starts_with("kernels/src/"))
            && source.name != "host/src/main.rs"
            && !source.name.starts_with("host/src/cli/")
            // Its problems are the layers of known families.
            && !source.name.starts_with("kernels/src/suite/");
        if !ignorant {
            return Vec::new();
        }
        let knowing = code(source).filter(|(_, line)| {
            // The name of the file that is part of the crate.
            let line = line.to_lowercase().replace("default.gguf", "");
            names.iter().any(|name| line.contains(name))
        });
        knowing.map(|(number, line)| format!("line {number}: {}", line.trim())).collect()
    });
}

#[test]
fn no_file_knows_a_machine() {
    // In two halves, so that this file does not find itself.
    let places = [("/ho", "me/"), ("/ro", "ot/"), ("/Use", "rs/"), ("C:", "\\")];
    let places = places.map(|(first, second)| [first, second].concat());
    nobody(|source| {
        let found =
            source.text.lines().zip(1..).filter(|(line, _)| places.iter().any(|place| line.contains(place)));
        found.map(|(line, number)| format!("line {number}: {}", line.trim())).collect()
    });
}
