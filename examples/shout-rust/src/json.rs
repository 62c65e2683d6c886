//! The JSON of a config table that has only strings, as the host writes it.

/// Reads an object; None when it is none. A value that is no string is None, and ends the reading.
pub fn table_of_strings(text: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut rest = text.trim_start();
    let mut out = vec![];
    if rest.is_empty() || take(&mut rest, '{') && take(&mut rest, '}') {
        return Some(out);
    }
    loop {
        let key = string(&mut rest)?;
        if !take(&mut rest, ':') {
            return None;
        }
        let value = string(&mut rest);
        let last = value.is_none();
        out.push((key, value));
        if last || !take(&mut rest, ',') {
            return Some(out);
        }
    }
}

fn take(rest: &mut &str, c: char) -> bool {
    match rest.trim_start().strip_prefix(c) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn string(rest: &mut &str) -> Option<String> {
    let mut r = *rest;
    if !take(&mut r, '"') {
        return None;
    }
    let mut out = String::new();
    let mut chars = r.chars();
    loop {
        match chars.next()? {
            '"' => {
                *rest = chars.as_str();
                return Some(out);
            }
            '\\' => out.push(match chars.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(&mut chars)?,
                other => other, // " \ and /
            }),
            c => out.push(c),
        }
    }
}

/// Reads the digits of \uXXXX, and the second half of a pair.
fn unicode(chars: &mut std::str::Chars) -> Option<char> {
    let first = hex(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    if chars.next()? != '\\' || chars.next()? != 'u' {
        return None;
    }
    let second = hex(chars)?.checked_sub(0xdc00)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
}

fn hex(chars: &mut std::str::Chars) -> Option<u32> {
    let mut v = 0;
    for _ in 0..4 {
        v = v << 4 | chars.next()?.to_digit(16)?;
    }
    Some(v)
}
