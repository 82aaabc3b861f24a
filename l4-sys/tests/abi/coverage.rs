//! Every public number of the crate is in the table, read from the sources themselves.
//!
//! What counts: public constants (of modules and types), values of enums with a given
//! representation or numbers in the three macros of the crate, and public fields of `repr(C)`
//! structures. A number that the tree does not have is named in [`EXCEPTIONS`] with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Fields, ImplItem, Item, Type, Visibility};

use crate::table::rows;

/// Public numbers without a counterpart in the tree's headers.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "GIGAPAGE_SHIFT",
        "the processor's; the headers know no such page",
    ),
    (
        "utcb::Utcb::pad",
        "the gap between message and buffer registers has no name",
    ),
    (
        "proto::ALL",
        "the list of the module's numbers, each of which is compared",
    ),
    (
        "error::Errno::ALL",
        "the list of the enum's values, each of which is compared",
    ),
    (
        "error::IpcError::ALL",
        "the list of the enum's values, each of which is compared",
    ),
    ("item::Caching::AsSender", "no cache bits at all"),
];

#[test]
fn every_public_number_is_in_the_table() {
    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(sources).expect("the crate has sources") {
        let path = entry.expect("readable directory").path();
        let stem = path
            .file_stem()
            .and_then(|s| s.to_str())
            .expect("UTF-8 name");
        let text = fs::read_to_string(&path).expect("readable source");
        let file = syn::parse_file(&text).expect("the crate compiles");
        let prefix = if stem == "lib" {
            String::new()
        } else {
            format!("{stem}::")
        };
        // The back end under Linux is no part of the kernel's interface.
        if stem != "host" {
            walk(&file.items, &prefix, &mut found);
        }
    }
    let table: BTreeSet<String> = rows().into_iter().map(|row| row.ours).collect();
    let excepted: BTreeSet<String> = EXCEPTIONS.iter().map(|(n, _)| (*n).to_owned()).collect();
    let missing: Vec<_> = found
        .iter()
        .filter(|name| !table.contains(*name) && !excepted.contains(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "not in tests/abi/table.rs: {missing:#?}"
    );
    let stale: Vec<_> = excepted
        .iter()
        .filter(|name| !found.contains(*name))
        .collect();
    assert!(stale.is_empty(), "exceptions that name nothing: {stale:?}");
    assert!(
        found.len() >= 240,
        "found only {} numbers: the walk is broken",
        found.len()
    );
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn walk(items: &[Item], prefix: &str, found: &mut BTreeSet<String>) {
    for item in items {
        match item {
            Item::Const(c) if is_public(&c.vis) => {
                found.insert(format!("{prefix}{}", c.ident));
            }
            Item::Mod(m) if is_public(&m.vis) => {
                let inner = m.content.as_ref().map_or(&[][..], |(_, items)| items);
                walk(inner, &format!("{prefix}{}::", m.ident), found);
            }
            Item::Enum(e) if is_public(&e.vis) && has_repr(&e.attrs) => {
                for variant in &e.variants {
                    found.insert(format!("{prefix}{}::{}", e.ident, variant.ident));
                }
            }
            Item::Struct(s) if is_public(&s.vis) && has_repr(&s.attrs) => {
                found.insert(format!("{prefix}{}", s.ident));
                if let Fields::Named(fields) = &s.fields {
                    for field in fields.named.iter().filter(|f| is_public(&f.vis)) {
                        let name = field.ident.as_ref().expect("named");
                        found.insert(format!("{prefix}{}::{name}", s.ident));
                    }
                }
            }
            Item::Impl(i) if i.trait_.is_none() => {
                let Type::Path(of) = &*i.self_ty else {
                    continue;
                };
                let of = &of.path.segments.last().expect("not empty").ident;
                for item in &i.items {
                    if let ImplItem::Const(c) = item
                        && is_public(&c.vis)
                    {
                        found.insert(format!("{prefix}{of}::{}", c.ident));
                    }
                }
            }
            Item::Macro(m) => {
                let name = &m.mac.path.segments.last().expect("not empty").ident;
                match name.to_string().as_str() {
                    "bitflags" | "codes" => flags(&m.mac.tokens, prefix, found),
                    "protocols" => {
                        found.insert(format!("{prefix}ALL"));
                        assignments(&m.mac.tokens, prefix, found);
                    }
                    "macro_rules" => {}
                    other => panic!("{prefix}: the walk does not know the macro {other}"),
                }
            }
            _ => {}
        }
    }
}

fn has_repr(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("repr"))
}

/// `Name : type { ... }` groups of `bitflags!` and `codes!`.
fn flags(tokens: &TokenStream, prefix: &str, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for window in tokens.windows(4) {
        if let [
            TokenTree::Ident(name),
            TokenTree::Punct(colon),
            TokenTree::Ident(_),
            TokenTree::Group(body),
        ] = window
            && colon.as_char() == ':'
        {
            let before = found.len();
            let inner = format!("{prefix}{name}::");
            assignments(&body.stream(), &inner, found);
            assert!(found.len() > before, "{inner} has no values");
            // `codes!` adds the list of its values.
            if prefix == "error::" {
                found.insert(format!("{inner}ALL"));
            }
        }
    }
}

/// Every `NAME =` on the top level; attributes are groups and so are not looked into.
fn assignments(tokens: &TokenStream, prefix: &str, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for pair in tokens.windows(2) {
        if let [TokenTree::Ident(name), TokenTree::Punct(equals)] = pair
            && equals.as_char() == '='
        {
            found.insert(format!("{prefix}{name}"));
        }
    }
}
