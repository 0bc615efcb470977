//! A spreadsheet as a workbook (`.xlsx`), in the format of an export.

use std::io::{self, Cursor, Write as _};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";

/// A workbook of these sheets: names, and CSV without quotes. Numbers are numbers, everything else is in the table of strings.
pub fn of(sheets: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut strings: Vec<&str> = Vec::new();
    let mut pages = Vec::new();
    for (_, csv) in sheets {
        let mut rows = String::new();
        for (row, line) in csv.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            rows.push_str(&format!("<row r=\"{}\">", row + 1));
            for (column, cell) in line.split(',').enumerate().filter(|(_, cell)| !cell.is_empty()) {
                let reference = format!("{}{}", letters(column), row + 1);
                match cell.parse::<f64>() {
                    Ok(_) => rows.push_str(&format!("<c r=\"{reference}\"><v>{cell}</v></c>")),
                    Err(_) => {
                        rows.push_str(&format!("<c r=\"{reference}\" t=\"s\"><v>{}</v></c>", strings.len()));
                        strings.push(cell);
                    }
                }
            }
            rows.push_str("</row>");
        }
        pages.push(format!("<worksheet xmlns=\"{MAIN}\"><sheetData>{rows}</sheetData></worksheet>"));
    }
    let numbers = 1..=sheets.len();
    let names = sheets
        .iter()
        .zip(numbers.clone())
        .map(|((name, _), number)| format!("<sheet name=\"{}\" sheetId=\"{number}\" r:id=\"rId{number}\"/>", escaped(name)));
    let book =
        format!("<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><sheets>{}</sheets></workbook>", names.collect::<String>());
    let to_sheets = numbers.map(|number| {
        format!("<Relationship Id=\"rId{number}\" Type=\"{RELATIONS}/worksheet\" Target=\"worksheets/sheet{number}.xml\"/>")
    });
    let relations = format!(
        "<Relationships xmlns=\"{PACKAGE}/relationships\">{}<Relationship Id=\"strings\" Type=\"{RELATIONS}/sharedStrings\" \
         Target=\"sharedStrings.xml\"/></Relationships>",
        to_sheets.collect::<String>()
    );
    let strings: String = strings.iter().map(|text| format!("<si><t>{}</t></si>", escaped(text))).collect();
    let mut files = vec![
        (
            "[Content_Types].xml".to_owned(),
            format!(
                "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" \
                 ContentType=\"application/xml\"/></Types>"
            ),
        ),
        (
            "_rels/.rels".to_owned(),
            format!(
                "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"rId1\" Type=\"{RELATIONS}/officeDocument\" \
                 Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        ("xl/workbook.xml".to_owned(), book),
        ("xl/_rels/workbook.xml.rels".to_owned(), relations),
        ("xl/sharedStrings.xml".to_owned(), format!("<sst xmlns=\"{MAIN}\">{strings}</sst>")),
    ];
    files.extend(pages.into_iter().enumerate().map(|(number, page)| (format!("xl/worksheets/sheet{}.xml", number + 1), page)));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(name, SimpleFileOptions::default())?;
        writer.write_all(content.as_bytes())?;
    }
    Ok(writer.finish()?.into_inner())
}

/// A column's letters: A, B … Z, AA.
fn letters(column: usize) -> String {
    let last = char::from(b'A' + u8::try_from(column % 26).unwrap_or(0));
    match column / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letters(rest - 1)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
