//! The numbers that the builder, the boot loader and the box agree upon. The box's scripts have the same partition names.

use std::fmt;

/// Bytes of a block of the verified file system, and of the hash tree.
pub const BLOCK: u64 = 4_096;
/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;
/// GPT's name for the whole disk.
pub const DISK_ID: &str = "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d000";
/// The boot loader's own partition under BIOS.
pub const BIOS: Partition = Partition {
    name: "bios",
    number: 1,
    bytes: MIB,
    kind: "21686148-6449-6e6f-744e-656564454649",
    id: "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d001",
};
/// The boot loader under UEFI, the slots' state, and what operators put there.
pub const ESP: Partition = Partition {
    name: "esp",
    number: 2,
    bytes: 32 * MIB,
    kind: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    id: "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d002",
};
/// The first slot.
pub const SLOT_A: Partition = Partition {
    name: "slot-a",
    number: 3,
    bytes: 128 * MIB,
    kind: LINUX,
    id: "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d003",
};
/// The second slot.
pub const SLOT_B: Partition = Partition {
    name: "slot-b",
    number: 4,
    bytes: 128 * MIB,
    kind: LINUX,
    id: "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d004",
};
/// What is kept over updates.
pub const CONFIG: Partition = Partition {
    name: "config",
    number: 5,
    bytes: 64 * MIB,
    kind: LINUX,
    id: "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1d005",
};
/// All of them, in their order on the disk.
pub const PARTITIONS: [Partition; 5] = [BIOS, ESP, SLOT_A, SLOT_B, CONFIG];

/// The kind of all that only this box reads.
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// The most a slot's contents may have.
pub const SLOT_BYTES_MAX: u64 = 25_000_000;

/// What updates must be made for (RAUC's `compatible`).
pub const BOARD: &str = "storage-port-x86-64";

/// A partition.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    /// GPT's label.
    pub name: &'static str,
    /// Counted from 1.
    pub number: u8,
    /// How large it is.
    pub bytes: u64,
    /// GPT's type.
    pub kind: &'static str,
    /// GPT's unique id.
    pub id: &'static str,
}

/// How the boot files, the root file system and its hash tree stand one behind the other in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotPlan {
    /// Where the root file system begins, in bytes.
    pub root_at: u64,
    /// Its length in blocks. The hash tree is right behind it.
    pub root_blocks: u64,
    /// Blocks of the hash tree.
    pub hash_blocks: u64,
    /// The root of the hash tree, as hexadecimal digits.
    pub root_hash: String,
    /// What is hashed with each block, as hexadecimal digits.
    pub salt: String,
}

/// As the kernel's command line and the first root file system's `init` have it:
/// `FIRST_SECTOR:SECTORS_WITH_HASHES:DATA_BLOCKS:ROOT_HASH:SALT`.
impl fmt::Display for SlotPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root_at, root_blocks, hash_blocks, root_hash, salt } = self;
        let sectors = (root_blocks + hash_blocks) * (BLOCK / 512);
        write!(formatter, "{}:{sectors}:{root_blocks}:{root_hash}:{salt}", root_at / 512)
    }
}

impl SlotPlan {
    /// Bytes of the slot that are in use.
    pub fn bytes(&self) -> u64 {
        self.root_at + (self.root_blocks + self.hash_blocks) * BLOCK
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (first, sectors, root_blocks) = (number()?, number()?, number()?);
        let is_hash = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (root_hash, salt) = (words.next().filter(is_hash)?, words.next().filter(is_hash)?);
        let hash_blocks = (sectors / (BLOCK / 512)).checked_sub(root_blocks)?;
        let root_at = first.checked_mul(512)?;
        words.next().is_none().then(|| Self {
            root_at,
            root_blocks,
            hash_blocks,
            root_hash: root_hash.to_owned(),
            salt: salt.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_command_line() {
        let plan = SlotPlan {
            root_at: 16 * MIB,
            root_blocks: 3_000,
            hash_blocks: 25,
            root_hash: "ab".repeat(32),
            salt: "01".repeat(32),
        };
        assert_eq!(SlotPlan::parse(&plan.to_string()), Some(plan.clone()));
        assert_eq!(plan.bytes(), 16 * MIB + 3_025 * BLOCK);
        for bad in ["", "1:2:3", "1:2:3:x:y", &format!("{plan}:more"), "-1:2:3:a:b"] {
            assert_eq!(SlotPlan::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn partitions_are_numbered_in_their_order() {
        let numbers: Vec<u8> = PARTITIONS.iter().map(|partition| partition.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
