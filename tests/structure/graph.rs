//! Which file imports which, and circles of that.

use std::collections::{BTreeMap, BTreeSet};

use crate::crates::{Crate, module_of};

/// Files, and the names that each takes from another.
pub(crate) struct Graph {
    arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Graph {
    pub(crate) fn of(all: &Crate) -> Graph {
        let mut arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (file, source) in &all.sources {
            let arrows = arrows.entry(file.clone()).or_default();
            for path in source.used() {
                if let Some((to, name)) = all.definer(&module_of(file), path)
                    && to != file
                {
                    arrows.entry(to.to_owned()).or_default().insert(name);
                }
            }
        }
        Graph { arrows }
    }

    /// Sets of files that can each be reached from all others of the set, of two files or more.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.arrows.keys().map(|file| (file.as_str(), self.reached(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, reachable) in &reached {
            let back = |other: &&&str| reached.get(**other).is_some_and(|reached| reached.contains(file));
            let circle: BTreeSet<&str> = reachable.iter().filter(back).copied().chain([*file]).collect();
            if circle.len() > 1 {
                circles.insert(circle.into_iter().map(str::to_owned).collect());
            }
        }
        circles.into_iter().collect()
    }

    fn reached<'a>(&'a self, file: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open = vec![file];
        while let Some(now) = open.pop() {
            let next = self.arrows.get(now).into_iter().flat_map(BTreeMap::keys);
            open.extend(next.map(String::as_str).filter(|next| found.insert(*next)));
        }
        found
    }

    /// The arrows within a circle, one a line.
    pub(crate) fn ties(&self, circle: &[String]) -> String {
        let mut lines = String::new();
        for file in circle {
            for (to, names) in self.arrows[file].iter().filter(|(to, _)| circle.contains(to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lines += &format!("  {file} -> {to}: {}\n", names.join(", "));
            }
        }
        lines
    }
}
