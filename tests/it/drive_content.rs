//! The text of followed files: what can be read of it, and what is said of the rest.

use serde_json::json;

use crate::support::World;

pub const DOCUMENT: &str = "application/vnd.google-apps.document";

/// One user without files.
pub fn alone() -> (World, String) {
    let world = World::with_files(1, 0);
    let user = world.sim.users().into_iter().next().expect("a user");
    (world, user)
}

/// Body and note of the document of this title.
pub fn read(world: &World, title: &str) -> (Option<String>, Option<String>) {
    let rows = world.query(&format!("SELECT body, note FROM documents WHERE title = '{title}'"));
    assert_eq!(rows.len(), 1, "one document {title}");
    (rows[0].get(0), rows[0].get(1))
}

#[test]
fn a_document_with_pictures_gives_its_text_however_large_they_are() {
    let (world, user) = alone();
    // The first is under drive.content_max_size with its picture, the second far above, the last has more text than that.
    let documents = [("small", 1, 297_000, "Quarterly review of the new office."), ("large", 3, 3 << 20, "Grüße")];
    for (name, pictures, size, content) in documents {
        world.sim.admin(
            "drive/files",
            json!({ "user": user, "id": name, "name": name, "mimeType": DOCUMENT, "content": content, "pictures": pictures, "picture_size": size }),
        );
        world.watch(&user, name);
    }
    let long = json!({ "user": user, "id": "long", "name": "long", "mimeType": DOCUMENT, "size": 2 << 20, "pictures": 1, "picture_size": 1 << 20 });
    world.sim.admin("drive/files", long);
    world.watch(&user, "long");
    let page = format!("<p>One</p><img src=\"data:image/png;base64,{}\"><p>Two</p>", "A".repeat(1_500_000));
    world
        .sim
        .admin("drive/files", json!({ "user": user, "id": "page", "name": "page", "mimeType": "text/html", "content": page }));
    world.watch(&user, "page");
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "small"), (Some("Quarterly review of the new office.\n\n![][image1]".into()), None));
    assert_eq!(read(&world, "large"), (Some("Grüße\n\n![][image1]\n\n![][image2]\n\n![][image3]".into()), None));
    assert_eq!(read(&world, "page"), (Some("<p>One</p><img src=\"\"><p>Two</p>".into()), None));
    let (body, note) = read(&world, "long");
    let (body, note) = (body.expect("text"), note.expect("a note"));
    assert!(body.len() > (1 << 20) - 4 && body.len() <= 1 << 20, "{}", body.len());
    assert!(note.contains("drive.content_max_size"), "{note}");
    // None of it is asked for again while nothing changes.
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "changes.list": 1, "drives.list": 1 }));
}
