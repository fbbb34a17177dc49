//! A command line to copy, quoted for a shell.

use std::fmt;

/// A command line. Its words are quoted where a shell needs it.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    line: String,
}

impl Command {
    /// A command without options, as it stands.
    pub(crate) fn new(name: &str) -> Command {
        Command { line: name.to_owned() }
    }

    /// With an option and its value.
    pub(crate) fn option(self, option: &str, value: impl fmt::Display) -> Command {
        self.words([option.to_owned(), value.to_string()])
    }

    /// With an option, if there is a value.
    pub(crate) fn optional(self, option: &str, value: Option<impl fmt::Display>) -> Command {
        match value {
            Some(value) => self.option(option, value),
            None => self,
        }
    }

    /// With those options that have a value.
    pub(crate) fn options(self, options: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Command {
        options.into_iter().fold(self, |command, (option, value)| command.optional(option, value))
    }

    /// With an option without value.
    pub(crate) fn flag(self, option: &str) -> Command {
        self.words([option.to_owned()])
    }

    /// With these words.
    pub(crate) fn words(mut self, words: impl IntoIterator<Item = String>) -> Command {
        for word in words {
            self.line.push(' ');
            self.line.push_str(&quoted(&word));
        }
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// A word as a POSIX shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@%+,".contains(char);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let command = Command::new("lacuna calibrate")
            .options([("--model", Some("my models/it's".to_owned())), ("--weights", None)])
            .option("--sparsity", 0.5)
            .optional("--calibrate", Some("$HOME/a.txt"))
            .optional("--sentences", None::<usize>)
            .flag("--choose")
            .option("--block", "");
        let expected = r"lacuna calibrate --model 'my models/it'\''s' --sparsity 0.5 --calibrate '$HOME/a.txt' --choose --block ''";
        assert_eq!(command.to_string(), expected);
    }
}
