//! One line of a list: `keyword[option, key=value] rest`.

/// The parts of a line that has something on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// First word, in lower case.
    pub keyword: String,
    /// Options in brackets.
    pub options: Vec<(&'a str, Option<&'a str>)>,
    /// What follows.
    pub rest: &'a str,
}

impl<'a> Line<'a> {
    /// Splits a line. `Ok(None)` when there is nothing on it but blanks and a comment.
    pub fn parse(text: &'a str) -> Result<Option<Self>, String> {
        let text = text.split('#').next().unwrap_or("").trim();
        if text.is_empty() {
            return Ok(None);
        }
        let end = text
            .find(|c: char| c.is_whitespace() || c == '[')
            .unwrap_or(text.len());
        let (keyword, after) = text.split_at(end);
        let (options, rest) = match after.strip_prefix('[') {
            None => ("", after),
            Some(inside) => inside
                .split_once(']')
                .ok_or("'[' without ']'; expected keyword[option, key=value] arguments")?,
        };
        Ok(Some(Self {
            keyword: keyword.to_ascii_lowercase(),
            options: options
                .split(',')
                .map(str::trim)
                .filter(|option| !option.is_empty())
                .map(|option| match option.split_once('=') {
                    Some((key, value)) => (key.trim(), Some(value.trim())),
                    None => (option, None),
                })
                .collect(),
            rest: rest.trim(),
        }))
    }

    /// The value of an option; `None` when it is absent or has no value.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.options
            .iter()
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| *value)
    }

    /// Whether an option is there, with or without value.
    pub fn has(&self, key: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == key)
    }

    /// Whether the line is meant for this architecture.
    pub fn is_for_us(&self) -> bool {
        let allows = |key, ours| {
            self.value(key)
                .is_none_or(|list| list.split('|').any(|one| one.trim() == ours))
        };
        allows("arch", l4re_tree::ARCH) && allows("bits", "64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_options_and_rest() {
        let line =
            Line::parse("  Entry[arch=x86|amd64, tap,expect=Hello World!]  a b # c").unwrap();
        let line = line.unwrap();
        assert_eq!(line.keyword, "entry");
        assert_eq!(line.value("expect"), Some("Hello World!"));
        assert!(line.has("tap") && !line.has("arch64"));
        assert!(line.is_for_us());
        assert_eq!(line.rest, "a b");
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(Line::parse("  # module x"), Ok(None));
        assert_eq!(Line::parse(""), Ok(None));
    }

    #[test]
    fn other_architectures_are_told_apart() {
        for (text, ours) in [
            ("module[arch=arm64] x", false),
            ("module[bits=32] x", false),
            ("module[arch=arm|amd64,bits=64] x", true),
            ("module x", true),
        ] {
            assert_eq!(
                Line::parse(text).unwrap().unwrap().is_for_us(),
                ours,
                "{text}"
            );
        }
    }

    #[test]
    fn an_open_bracket_is_refused() {
        assert!(Line::parse("module[fname=x y").is_err());
    }
}
