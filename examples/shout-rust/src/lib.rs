//! shout is a filter in Rust: it upper-cases text, adds the tag "shout", and drops what contains a forbidden word.
//! It needs the standard library alone. `abi.rs` is the border to the host and may be taken over as it is; this file
//! is what the filter does.

// On the machine of the author only the tests are built.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, unused_imports, unused_macros))]

mod abi;
mod json;
mod wire;

use abi::{Fault, Filter, Verdict};

/// plugin.toml goes into the module as a custom section.
#[cfg_attr(target_arch = "wasm32", link_section = "bridgehost.manifest")]
#[used]
pub static MANIFEST: [u8; include_bytes!("../plugin.toml").len()] = *include_bytes!("../plugin.toml");

/// The filter with its configuration.
pub struct Shout {
    word: String,      // as configured
    loud_word: String, // as shout makes it; empty = nothing is forbidden
}

impl Filter for Shout {
    /// Reads the link's config table. It is called once, before all else.
    fn open(config: &[u8]) -> Result<Self, Fault> {
        let fault = |key: String, problem, remedy| Err(Fault { key, problem, remedy });
        let table = match json::table_of_strings(config) {
            Some(table) => table,
            None => return fault(String::new(), "is no table of strings", "write word = \"forbidden\""),
        };
        let mut word = "forbidden".to_string();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("word", Some(text)) => word = text,
                ("word", None) => return fault(key, "must be a string", "write word = \"forbidden\""),
                _ => return fault(key, "is not known", "the only key is word"),
            }
        }
        Ok(Shout { loud_word: shout(&word), word })
    }

    /// Decides about one event.
    fn filter(&mut self, event: abi::Event) -> Verdict {
        let item = match event.item() {
            Some(item) => item,
            None => return Verdict::Pass,
        };
        let text = shout(item.text());
        if text.is_empty() {
            return Verdict::Pass;
        }
        if !self.loud_word.is_empty() && text.contains(&self.loud_word) {
            return Verdict::Drop(format!("contains the word \"{}\"", self.word));
        }
        let tags = if item.tags().any(|t| t == "shout") { vec![] } else { vec!["shout"] };
        Verdict::Replace { text, tags }
    }
}

/// Upper-cases the letters of ASCII and Latin-1, and only those: the examples in C and AssemblyScript do just the same,
/// without tables of Unicode. The length in bytes stays, so that positions of mentions still fit.
fn shout(s: &str) -> String {
    s.chars()
        .map(|c| match c {
            'a'..='z' | 'à'..='ö' | 'ø'..='þ' => char::from(c as u8 - 0x20),
            _ => c,
        })
        .collect()
}

abi::export!(Shout);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        for (text, want) in [("", ""), ("Hello, world 1", "HELLO, WORLD 1"), ("grüße aus århus", "GRÜßE AUS ÅRHUS"), ("6÷2 ÿ привет 🙂", "6÷2 ÿ привет 🙂")] {
            assert_eq!(shout(text), want);
        }
    }

    #[test]
    fn configuration() {
        assert_eq!(Shout::open(b"{}").ok().unwrap().word, "forbidden");
        assert_eq!(Shout::open(br#"{"word":"a\u003c\"\ud83d\ude42"}"#).ok().unwrap().word, "a<\"🙂");
        assert!(Shout::open(br#"{"wrod":"a"}"#).err().unwrap().key == "wrod");
        assert!(Shout::open(br#"{"word":7}"#).is_err());
    }
}
