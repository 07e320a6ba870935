//! Static libraries: an object added to the archive of the run time.
//!
//! Archives are read and written here as GNU tools have them: members with headers of 60 bytes, an
//! index of symbols as the first member, `/`, and long names in `//`. So no `ar` has to be installed.

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The archive of the run time with the kernels, which was built with this crate.
pub(crate) const RUNTIME: &[u8] = lepid_cpu_archive::RUNTIME;

struct Member<'a> {
    /// The header's name field as it stands.
    name: &'a [u8],
    data: &'a [u8],
    /// Where its header stands.
    at: usize,
}

/// A copy of an archive with one more object, which defines these symbols.
pub(crate) fn with_object(
    archive: &[u8],
    object: &[u8],
    symbols: &[&str],
) -> Result<Vec<u8>, String> {
    let members = members(archive).ok_or("the archive of the run time is damaged")?;
    let index = members.iter().find(|m| m.name.trim_ascii() == b"/");
    let mut entries = match index {
        Some(index) => read_index(index.data).ok_or("the index of the run time is damaged")?,
        None => return Err("the archive of the run time has no index".to_string()),
    };
    // Offsets of members before they are known; the new object comes last.
    let new = usize::MAX;
    entries.extend(symbols.iter().map(|name| (new, name.to_string())));
    let index_len: usize = 4 + entries.iter().map(|(_, n)| 4 + n.len() + 1).sum::<usize>();
    let mut out = MAGIC.to_vec();
    let mut moved: Vec<(usize, usize)> = Vec::new();
    let mut at = MAGIC.len() + HEADER + index_len.next_multiple_of(2);
    let kept = || members.iter().filter(|m| m.name.trim_ascii() != b"/");
    for member in kept() {
        moved.push((member.at, at));
        at += HEADER + member.data.len().next_multiple_of(2);
    }
    moved.push((new, at));
    let mut data = (entries.len() as u32).to_be_bytes().to_vec();
    for (offset, name) in &entries {
        let Some((_, now)) = moved.iter().find(|(before, _)| before == offset) else {
            return Err(format!(
                "the index of the run time has no place for `{name}`"
            ));
        };
        let now = u32::try_from(*now).map_err(|_| "the library is larger than 4 GiB")?;
        data.extend_from_slice(&now.to_be_bytes());
    }
    for (_, name) in &entries {
        data.extend_from_slice(name.as_bytes());
        data.push(0);
    }
    write_member(&mut out, b"/", &data);
    for member in kept() {
        write_member(&mut out, member.name.trim_ascii_end(), member.data);
    }
    write_member(&mut out, b"program.o/", object);
    Ok(out)
}

fn write_member(out: &mut Vec<u8>, name: &[u8], data: &[u8]) {
    let name = String::from_utf8_lossy(name);
    // No time, no owner: equal inputs give equal archives.
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        644,
        data.len()
    );
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(b'\n');
    }
}

fn members(archive: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut at = MAGIC.len();
    if !archive.starts_with(MAGIC) {
        return None;
    }
    let mut members = Vec::new();
    while at < archive.len() {
        let header = archive.get(at..at + HEADER)?;
        let len: usize = str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let start = at + HEADER;
        members.push(Member {
            name: &header[..16],
            data: archive.get(start..start.checked_add(len)?)?,
            at,
        });
        at = start + len.next_multiple_of(2);
    }
    Some(members)
}

/// Offsets of members with the symbols that they define.
fn read_index(data: &[u8]) -> Option<Vec<(usize, String)>> {
    let number = |at: usize| {
        let bytes = data.get(at..at + 4)?;
        Some(bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b)))
    };
    let count = number(0)?;
    let names = data.get(4 + 4 * count..)?.split(|&b| b == 0);
    let entry = |(i, name): (usize, &[u8])| {
        Some((number(4 + 4 * i)?, String::from_utf8(name.to_vec()).ok()?))
    };
    let entries: Option<Vec<_>> = names.take(count).enumerate().map(entry).collect();
    entries.filter(|e| e.len() == count)
}

/// What a program that uses the library is linked with, beside it.
pub(crate) fn system_libraries() -> &'static [&'static str] {
    match cfg!(target_os = "macos") {
        true => &["-lSystem", "-lc", "-lm"],
        false => &["-lpthread", "-ldl", "-lm"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        members
            .iter()
            .for_each(|(name, data)| write_member(&mut out, name, data));
        out
    }

    #[test]
    fn an_object_joins_an_archive() {
        let first = MAGIC.len() + HEADER + 8;
        let index = [
            &1u32.to_be_bytes()[..],
            &(first as u32).to_be_bytes(),
            b"run\0",
        ]
        .concat();
        let index = &index[..];
        let first = MAGIC.len() + HEADER + index.len();
        let index = [
            &1u32.to_be_bytes()[..],
            &(first as u32).to_be_bytes(),
            b"run\0",
        ]
        .concat();
        let before = archive(&[(b"/", &index), (b"run.o/", b"code!")]);
        let after = with_object(&before, b"program", &["net_program"]).unwrap();
        let members = members(&after).unwrap();
        assert_eq!(members.len(), 3);
        let entries = read_index(members[0].data).unwrap();
        assert_eq!(entries[0], (members[1].at, "run".to_string()));
        assert_eq!(entries[1], (members[2].at, "net_program".to_string()));
        assert_eq!(members[2].data, b"program");
    }

    #[test]
    fn damaged_archives_are_errors() {
        let good = archive(&[(b"/", &0u32.to_be_bytes()), (b"a.o/", b"x")]);
        assert!(with_object(&good, b"", &[]).is_ok());
        for len in 0..good.len() - 2 {
            let cut = with_object(&good[..len], b"", &[]);
            assert!(cut.is_err() || len == MAGIC.len() + HEADER + 4, "{len}");
        }
    }
}
