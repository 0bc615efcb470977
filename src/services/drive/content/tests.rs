use super::*;

#[test]
fn googles_formats_are_exported_and_only_text_is_downloaded() {
    assert_eq!(text_source("application/vnd.google-apps.document"), TextSource::Export("text/markdown"));
    assert_eq!(text_source("text/csv"), TextSource::Download);
    assert_eq!(text_source("application/json"), TextSource::Download);
    assert_eq!(text_source("image/png"), TextSource::None);
    assert_eq!(text_source("application/vnd.google-apps.folder"), TextSource::None);
}

#[test]
fn images_leave_their_markers_but_no_definitions() {
    let mut readable = Readable::new(1 << 20);
    readable.push("Grüße ![][image1] ![a chart][image2]\n\n[image1]: <data:image/png;base64,AAAA>\n\n".as_bytes());
    readable.push(b"[image2]: <data:image/png;base64,AAAA>\n");
    let expected = Content::Text { body: "Grüße ![][image1] ![a chart][image2]".into(), note: None };
    assert_eq!(text(Some("text/markdown"), readable.finish(), 1 << 20), expected);
}

#[test]
fn a_text_is_cut_between_characters_and_a_note_says_so() {
    let mut readable = Readable::new(4);
    readable.push("Grüße".as_bytes());
    readable.push(b" and more");
    let Content::Text { body, note } = text(None, readable.finish(), 4) else { panic!("no text") };
    assert_eq!((body.as_str(), note.is_some()), ("Grü", true));
    let mut readable = Readable::new(3);
    readable.push("Grüße".as_bytes());
    let Content::Text { body, .. } = text(None, readable.finish(), 3) else { panic!("no text") };
    assert_eq!(body, "Gr");
}

#[test]
fn text_is_decoded_by_bom_header_or_detection() {
    assert_eq!(text_of(None, "Grüße".as_bytes()).text, "Grüße");
    assert_eq!(text_of(None, b"Gr\xfc\xdfe").text, "Grüße");
    assert_eq!(text_of(Some("text/plain; charset=\"ISO-8859-5\""), b"\xbf\xe0\xd8").text, "При");
    assert_eq!(text_of(Some("text/plain"), b"\xff\xfeG\0r\0").text, "Gr");
    assert_eq!(text_of(Some("text/plain; charset=iso-2022-kr"), b"\x1b$)C\x0e>H3g\x0f").text, "안녕");
    assert_eq!(text_of(Some("text/plain; charset=us-ascii"), "Grüße".as_bytes()).text, "Grüße");
}
