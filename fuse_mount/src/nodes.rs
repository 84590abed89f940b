//! The objects that the kernel knows by their numbers, and until when it does. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use fuser::INodeNo;
use nfs::filesystem::Handle;

/// As many as the kernel has in its memory; it tells when it drops one.
#[derive(Debug, Default)]
pub(crate) struct Nodes(HashMap<u64, Node>);

#[derive(Debug)]
struct Node {
    handle: Handle,
    /// How often the kernel has been told of it.
    told: u64,
}

impl Nodes {
    /// The kernel is told of an object once more.
    pub fn tell(&mut self, number: INodeNo, handle: Handle) {
        let node = self.0.entry(number.0).or_insert(Node { handle, told: 0 });
        node.handle = handle;
        node.told = node.told.saturating_add(1);
    }

    /// The kernel does not mean it any more, of all the times it was told of it, by so many.
    pub fn forget(&mut self, number: INodeNo, times: u64) {
        if let Entry::Occupied(mut entry) = self.0.entry(number.0) {
            let node = entry.get_mut();
            node.told = node.told.saturating_sub(times);
            if node.told == 0 {
                entry.remove();
            }
        }
    }

    pub fn handle(&self, number: INodeNo) -> Option<Handle> {
        self.0.get(&number.0).map(|node| node.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_until_it_is_forgotten_as_often_as_told() {
        let mut nodes = Nodes::default();
        let handle = Handle::new(b"x").unwrap();
        let number = INodeNo(7);
        (0..3).for_each(|_| nodes.tell(number, handle));
        nodes.forget(number, 2);
        assert_eq!(nodes.handle(number), Some(handle));
        nodes.forget(number, 1);
        assert_eq!(nodes.handle(number), None);
        nodes.forget(number, 1);
        nodes.tell(number, handle);
        nodes.forget(number, u64::MAX);
        assert!(nodes.0.is_empty());
    }
}
