//! The block in which boot loader and box keep which slot is to be started, and how often each may still be tried. It has
//! the format of GRUB's environment block, and lies twice on the ESP. Pure.
//!
//! | variable | meaning |
//! |---|---|
//! | `order` | `AB` or `BA`: which slot is started first |
//! | `a_left`, `b_left` | `3` to `0`: so often it may be started before it is passed over |
//! | `a_good`, `b_good` | `1`: it has served; `0`: it is new, empty or was found bad |
//! | `whole` | `yes`, the last line: the block was written to its end |

/// Bytes of a block, as GRUB has it. All of the contents stand in the first sector of 512 bytes.
pub const BYTES: usize = 1_024;
/// The files on the ESP.
pub const FILES: [&str; 2] = ["state-1", "state-2"];
/// The folder of the ESP that has them.
pub const FOLDER: &str = "storage-port/boot";

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// The state with which a disk is made: slot A has the system, B nothing.
pub fn new() -> Vec<u8> {
    block(&[
        ("order", "AB"),
        ("a_left", "3"),
        ("a_good", "1"),
        ("b_left", "0"),
        ("b_good", "0"),
        ("whole", "yes"),
    ])
}

fn block(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut text = SIGNATURE.to_owned();
    for (name, value) in variables {
        text.push_str(&format!("{name}={value}\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(BYTES, b'#');
    bytes
}

/// The variables of a block, in their order; `None` if it is not whole.
pub fn read(block: &[u8]) -> Option<Vec<(String, String)>> {
    let text = String::from_utf8(block.to_vec()).ok()?;
    let variables: Vec<(String, String)> = text
        .strip_prefix(SIGNATURE)?
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let whole = variables.last().is_some_and(|(name, value)| name == "whole" && value == "yes");
    (block.len() == BYTES && whole).then_some(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_block_is_whole_and_all_in_one_sector() {
        let block = new();
        assert_eq!(block.len(), BYTES);
        assert!(block[512..].iter().all(|&byte| byte == b'#'), "a torn write changes nothing in the second sector");
        let variables = read(&block).unwrap();
        assert_eq!(variables[0], ("order".to_owned(), "AB".to_owned()));
    }

    #[test]
    fn a_torn_block_is_not_whole() {
        let block = new();
        for length in 0..BYTES {
            assert_eq!(read(&block[..length]), None);
        }
        let mut torn = block.clone();
        torn[60..].fill(0);
        assert_eq!(read(&torn), None);
    }
}
