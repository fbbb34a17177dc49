//! What a source file defines, and which paths it names.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, Visibility};

/// One file.
pub(crate) struct Source {
    defined: Vec<String>,
    /// Names that `use` brings in, each with its path.
    imports: Vec<(String, Vec<String>)>,
    /// Paths that `use` brings in everything of.
    globs: Vec<Vec<String>>,
    /// Paths that the file itself takes something from.
    used: Vec<Vec<String>>,
}

impl Source {
    pub(crate) fn parse(name: &str, text: &str) -> Source {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut source = Source { defined: vec![], imports: vec![], globs: vec![], used: vec![] };
        let mut reexports = Vec::new();
        let mut idents = Vec::new();
        source.items(&file.items, &mut reexports, &mut idents);
        // What is re-exported and also used here counts as used.
        source.used.extend(reexports.into_iter().filter(|(name, _)| idents.contains(name)).map(|(_, path)| path));
        source
    }

    pub(crate) fn defines(&self, name: &str) -> bool {
        self.defined.iter().any(|defined| defined == name)
    }

    pub(crate) fn imports<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [String]> {
        self.imports.iter().filter(move |(import, _)| import == name).map(|(_, path)| &path[..])
    }

    pub(crate) fn globs(&self) -> impl Iterator<Item = &[String]> {
        self.globs.iter().map(|path| &path[..])
    }

    pub(crate) fn used(&self) -> &[Vec<String>] {
        &self.used
    }

    fn items(&mut self, items: &[Item], reexports: &mut Vec<(String, Vec<String>)>, idents: &mut Vec<String>) {
        for item in items {
            if is_test(attributes(item)) {
                continue;
            }
            self.defined.extend(defined(item));
            match item {
                Item::Use(item) => {
                    let mut all = Vec::new();
                    flatten(&item.tree, &mut Vec::new(), &mut all);
                    let is_reexport = !matches!(item.vis, Visibility::Inherited);
                    for (name, path) in all {
                        if name == "*" {
                            self.globs.push(path.clone());
                        } else {
                            self.imports.push((name.clone(), path.clone()));
                        }
                        match is_reexport {
                            true => reexports.push((name, path)),
                            false => self.used.push(path),
                        }
                    }
                }
                Item::Mod(item) => {
                    // An inline module belongs to its file; paths in it are taken as if they stood outside.
                    if let Some((_, items)) = &item.content {
                        self.items(items, reexports, idents);
                    }
                }
                other => self.tokens(quote::ToTokens::to_token_stream(other), idents),
            }
        }
    }

    /// Collects the paths of several names, and the first name of every path. Which paths lead to a file of the crate is found out later.
    fn tokens(&mut self, tokens: TokenStream, idents: &mut Vec<String>) {
        let all: Vec<TokenTree> = tokens.into_iter().collect();
        let mut i = 0;
        while i < all.len() {
            match &all[i] {
                TokenTree::Group(group) => self.tokens(group.stream(), idents),
                TokenTree::Ident(ident) => {
                    let mut path = vec![ident.to_string()];
                    while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(next), ..] = &all[i + 1..]
                        && (a.as_char(), b.as_char()) == (':', ':')
                    {
                        path.push(next.to_string());
                        i += 3;
                    }
                    if path.len() > 1 {
                        self.used.push(path.clone());
                    }
                    idents.push(path.swap_remove(0));
                }
                _ => {}
            }
            i += 1;
        }
    }
}

/// Whether an item is for tests only: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]` or the same with `doctest` stands before it.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = quote::ToTokens::to_token_stream(&attribute.meta).to_string();
        tokens == "test"
            || tokens.starts_with("cfg")
                && !tokens.contains("not (test")
                && (tokens.contains("(test") || tokens.contains("(doctest"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined(item: &Item) -> Option<String> {
    match item {
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(item.sig.ident.to_string()),
        Item::Macro(item) => item.ident.as_ref().map(ToString::to_string),
        Item::Static(item) => Some(item.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        Item::Union(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// Every name of a `use` tree with its path; `*` for a glob.
fn flatten(tree: &UseTree, path: &mut Vec<String>, all: &mut Vec<(String, Vec<String>)>) {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            flatten(&tree.tree, path, all);
            path.pop();
        }
        UseTree::Name(tree) if tree.ident == "self" => {
            all.push((path.last().cloned().unwrap_or_default(), path.clone()));
        }
        UseTree::Name(tree) => {
            let name = tree.ident.to_string();
            all.push((name.clone(), path.iter().cloned().chain([name]).collect()));
        }
        UseTree::Rename(tree) => {
            let full = path.iter().cloned().chain([tree.ident.to_string()]).collect();
            all.push((tree.rename.to_string(), full));
        }
        UseTree::Glob(_) => all.push(("*".to_owned(), path.clone())),
        UseTree::Group(tree) => tree.items.iter().for_each(|tree| flatten(tree, path, all)),
    }
}
