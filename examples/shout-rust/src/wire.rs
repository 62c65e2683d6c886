//! The part of protobuf's encoding that a filter needs.

/// Takes a varint off the front of `b`.
fn varint(b: &mut &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = b.split_first()?;
        *b = rest;
        v |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(v);
        }
    }
    None
}

/// The fields of a message, with their numbers; fields that have no length have an empty body. It ends at the first
/// malformed byte.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = varint(&mut self.0)?;
        let n = match tag & 7 {
            0 => {
                varint(&mut self.0)?;
                0
            }
            1 => 8,
            2 => varint(&mut self.0)?,
            5 => 4,
            _ => return None,
        };
        if n > self.0.len() as u64 {
            return None;
        }
        let (body, rest) = self.0.split_at(n as usize);
        self.0 = rest;
        Some(((tag >> 3) as u32, body))
    }
}

/// The last field of that number.
pub fn find(message: &[u8], number: u32) -> Option<&[u8]> {
    Fields(message).filter(|f| f.0 == number).last().map(|f| f.1)
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends a number.
pub fn put_uint(out: &mut Vec<u8>, number: u32, v: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, v);
}

/// Appends a string, bytes or a message.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}
