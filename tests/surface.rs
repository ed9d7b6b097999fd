//! What the contract says and what the guest asks for: exactly three interfaces in, one out, and every item documented.

use wasm_chord::built_in_guest;
use wasm_chord_tests::{surface, workspace};
use wit_parser::{Docs, Interface, Resolve, TypeDefKind, WorldItem};

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_dir(workspace().join("wit")).expect("wit/ is valid");
    resolve
}

#[test]
fn the_guest_imports_three_interfaces_and_exports_one() {
    let (imports, exports) = surface(built_in_guest());
    let named = |name: &str| format!("wasm-chord:inference/{name}@{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(imports, ["kernels", "memory64", "tensors"].map(named));
    assert_eq!(exports, ["generation"].map(named));
}

#[test]
fn everything_in_the_contract_is_documented() {
    let resolve = contract();
    let mut silent = Vec::new();
    let mut items = 0;
    let mut check = |docs: &Docs, what: String| {
        items += 1;
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            silent.push(what);
        }
    };
    for (_, package) in &resolve.packages {
        check(&package.docs, format!("package {}", package.name));
    }
    for (_, world) in &resolve.worlds {
        check(&world.docs, format!("world {}", world.name));
        for (key, item) in world.imports.iter().chain(&world.exports) {
            assert!(matches!(item, WorldItem::Interface { .. }), "{}: {key:?} is an interface", world.name);
        }
    }
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.clone().expect("interfaces have names");
        check(&interface.docs, format!("interface {name}"));
        for (function, definition) in &interface.functions {
            check(&definition.docs, format!("{name}: {function}"));
        }
        check_types(&resolve, interface, &name, &mut check);
    }
    assert!(items > 150, "only {items} items were found");
    assert!(silent.is_empty(), "not documented: {silent:#?}");
}

fn check_types(resolve: &Resolve, interface: &Interface, name: &str, check: &mut impl FnMut(&Docs, String)) {
    for (type_name, id) in &interface.types {
        let definition = &resolve.types[*id];
        let part = |part: &str| format!("{name}: {type_name}.{part}");
        match &definition.kind {
            // `use` repeats what is documented elsewhere.
            TypeDefKind::Type(_) => continue,
            TypeDefKind::Record(record) => {
                record.fields.iter().for_each(|it| check(&it.docs, part(&it.name)))
            }
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().for_each(|it| check(&it.docs, part(&it.name)))
            }
            TypeDefKind::Enum(cases) => cases.cases.iter().for_each(|it| check(&it.docs, part(&it.name))),
            TypeDefKind::Flags(flags) => flags.flags.iter().for_each(|it| check(&it.docs, part(&it.name))),
            _ => {}
        }
        check(&definition.docs, format!("{name}: {type_name}"));
    }
}

#[test]
fn everything_in_the_contract_says_since_when_it_is_there() {
    let gates = std::fs::read_dir(workspace().join("wit")).expect("wit/ is there").map(|file| {
        let path = file.expect("it can be listed").path();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        // A function without a gate: the line before it is neither one nor the rest of a signature.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let gated = |index: usize| index > 0 && lines[index - 1].starts_with("@since");
        let opens = |line: &str| {
            [
                "interface ",
                "world ",
                "record ",
                "variant ",
                "enum ",
                "resource ",
                "import ",
                "export ",
                "use ",
            ]
            .iter()
            .any(|word| line.starts_with(word))
                || line.contains(": func(")
                || line.contains(": static func(")
                || line == "constructor();"
        };
        let open: Vec<String> = (0..lines.len())
            .filter(|&index| opens(lines[index]) && !gated(index))
            .map(|index| format!("{}:{}: {}", path.display(), index + 1, lines[index]))
            .collect();
        open
    });
    let ungated: Vec<String> = gates.flatten().collect();
    assert!(ungated.is_empty(), "without @since: {ungated:#?}");
}
