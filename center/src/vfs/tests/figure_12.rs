//! The founding document's own example: the tables of Figure 12 and the operations it walks through (VFS-6, VFS-10,
//! VFS-12, VFS-14, VFS-15).

use super::*;
use crate::vfs::engine::values;

/// Customer 3 with folders 2 (root), 100, 251 and 166, and the files "52.MD5" and "55.MD5" in 100, "99.MD5" and
/// "67.MD5" in 166. A file's number repeated stands for its 32 hex digits.
async fn figure_12() -> Fixture {
    let mut vfs = Fixture::new().await;
    vfs.sql(|db| {
        db.execute("DELETE FROM entry", &[])?;
        let folders: [(u32, Option<u32>, Option<&str>, u32); 4] =
            [(2, None, None, 2), (100, Some(2), Some("a"), 0), (251, Some(2), Some("b"), 1), (166, Some(251), Some("c"), 0)];
        for (id, parent, name, subfolders) in folders {
            db.execute(
                "INSERT INTO entry (id, customer, parent, name, version, created, modified, changed, metadata, subfolders)
                 VALUES (?1, 3, ?2, ?3, 1, 0, 0, 0, ?4, ?5)",
                values![id, parent, name.map(str::as_bytes), b"", subfolders],
            )?;
        }
        for (handle, parent) in [(0x52_u8, 100_u32), (0x55, 100), (0x99, 166), (0x67, 166)] {
            let name = format!("{handle:02x}");
            db.execute(
                "INSERT INTO entry (customer, parent, name, version, created, modified, changed, metadata,
                                    fingerprint, size, digest, token)
                 VALUES (3, ?1, ?2, 1, 0, 0, 0, ?3, ?4, 1, ?5, ?4)",
                values![parent, name.as_bytes(), b"", &[handle; 16], &[handle; 32]],
            )?;
        }
        db.execute("UPDATE customer SET root = 2, files_used = 7", &[])
    })
    .await
    .unwrap();
    vfs.root = ObjectId(2);
    vfs
}

/// Rows of the view `folder`: (folder id, folder parent id).
async fn folder_table(vfs: &Fixture) -> Vec<(u64, Option<u64>)> {
    let sql = "SELECT folder_id, folder_parent_id FROM folder WHERE customer_id = 3 ORDER BY folder_id";
    vfs.sql(|db| db.list(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))).await.unwrap()
}

/// Rows of the view `file`: (first two digits of the handle, folder id, folder parent id).
async fn file_table(vfs: &Fixture) -> Vec<(String, u64, u64)> {
    let sql = "SELECT substr(file_handle, 1, 2), folder_id, folder_parent_id FROM file WHERE customer_id = 3
               ORDER BY file_handle";
    vfs.sql(|db| db.list(sql, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))).await.unwrap()
}

fn files(rows: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    rows.iter().map(|(handle, folder, parent)| (handle.to_string(), *folder, *parent)).collect()
}

async fn file(vfs: &Fixture, folder: u64, text: &str) -> ObjectId {
    let entries = vfs.list(ObjectId(folder), 100).await;
    entries.into_iter().find(|row| row.name == Some(name(text))).unwrap().id
}

/// VFS-6, VFS-7: the tables as drawn.
#[tokio::test]
async fn the_views_are_the_tables_of_figure_12() {
    let vfs = figure_12().await;
    assert_eq!(folder_table(&vfs).await, [(2, None), (100, Some(2)), (166, Some(251)), (251, Some(2))]);
    let expected = [("52", 100, 2), ("55", 100, 2), ("67", 166, 251), ("99", 166, 251)];
    assert_eq!(file_table(&vfs).await, files(&expected));
}

/// VFS-10: "folder ID = 2" gives the folders 100 and 251; 100 gives 52.MD5 and 55.MD5.
#[tokio::test]
async fn open_folder_gives_subfolders_and_files() {
    let vfs = figure_12().await;
    let ids: Vec<_> = vfs.list(ObjectId(2), 1).await.iter().map(|row| row.id.0).collect();
    assert_eq!(ids, [100, 251]);
    let handles: Vec<_> = vfs
        .list(ObjectId(100), 1)
        .await
        .iter()
        .map(|row| match row.body {
            protocol::vfs::Body::File { content } => content.fingerprint.0[0],
            protocol::vfs::Body::Folder { .. } => panic!("a folder"),
        })
        .collect();
    assert_eq!(handles, [0x52, 0x55]);
}

/// VFS-12: folder 166 moved from 251 to the root: its row and its files' parent folder say 2.
#[tokio::test]
async fn move_folder_changes_the_folder_and_its_files() {
    let vfs = figure_12().await;
    vfs.rename(ObjectId(166), ObjectId(2), "c", false).await.unwrap();
    assert_eq!(folder_table(&vfs).await, [(2, None), (100, Some(2)), (166, Some(2)), (251, Some(2))]);
    let expected = [("52", 100, 2), ("55", 100, 2), ("67", 166, 2), ("99", 166, 2)];
    assert_eq!(file_table(&vfs).await, files(&expected));
}

/// VFS-13: a folder created under 166 is a new row with that parent.
#[tokio::test]
async fn create_folder_makes_a_row_under_its_parent() {
    let vfs = figure_12().await;
    let made = vfs.mkdir(ObjectId(166), "new").await;
    assert!(folder_table(&vfs).await.contains(&(made.0, Some(166))));
}

/// VFS-14: 52.MD5 moved from folder 100 to 166: folder and parent become 166 and 251.
#[tokio::test]
async fn move_file_changes_folder_and_parent() {
    let vfs = figure_12().await;
    let moved = file(&vfs, 100, "52").await;
    vfs.rename(moved, ObjectId(166), "52", false).await.unwrap();
    let expected = [("52", 166, 251), ("55", 100, 2), ("67", 166, 251), ("99", 166, 251)];
    assert_eq!(file_table(&vfs).await, files(&expected));
}

/// VFS-15: deleted files and folders lose their rows.
#[tokio::test]
async fn delete_removes_the_rows() {
    let vfs = figure_12().await;
    let gone = file(&vfs, 100, "52").await;
    vfs.delete(gone, Kind::File, false).await.unwrap();
    assert_eq!(file_table(&vfs).await, files(&[("55", 100, 2), ("67", 166, 251), ("99", 166, 251)]));
    vfs.delete(ObjectId(251), Kind::Folder, true).await.unwrap();
    assert_eq!(folder_table(&vfs).await, [(2, None), (100, Some(2))]);
    assert_eq!(file_table(&vfs).await, files(&[("55", 100, 2)]));
}
