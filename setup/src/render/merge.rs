//! One table of TOML over another. Pure.

use toml::{Table, Value};

/// Puts `over` on `base`: tables go into tables, everything else in the place of what was there.
pub(super) fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(over)) => merge(below, over),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_merged_and_all_else_is_replaced() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let mut base = table("a = 1\nlist = [1, 2]\n[deep.er]\nx = 1\ny = 2\n[[array]]\nz = 1");
        merge(
            &mut base,
            &table("list = [3]\n[deep.er]\ny = 3\n[new]\nk = 'v'\n[[array]]\nz = 2\n[[array]]\nz = 3"),
        );
        let expected =
            "a = 1\nlist = [3]\n[deep.er]\nx = 1\ny = 3\n[new]\nk = 'v'\n[[array]]\nz = 2\n[[array]]\nz = 3";
        assert_eq!(base, table(expected));
    }
}
