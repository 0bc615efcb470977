//! Extracts the text of a workbook (`.xlsx`), the format in which Google exports a spreadsheet with all its sheets. Pure.

use std::io::{self, Cursor, Read as _};

use calamine::{DataRef, ExcelDateTime, Reader as _, Xlsx, XlsxError};
use zip::ZipArchive;

use super::data_urls::{Readable, Rest};

/// Maximum unpacked size of a workbook in bytes: all its strings are in memory while it is read.
const MAX_UNPACKED: u64 = 64 << 20;
/// Maximum number of files within a workbook.
const MAX_FILES: usize = 10_000;

/// Reads every sheet: its name as a heading, then one line per row, with the cells separated by commas as in CSV. Empty rows are left out. Keeps
/// at most `max` bytes.
///
/// # Errors
/// Returns a message if the workbook cannot be read.
pub fn read(workbook: &[u8], max: usize) -> Result<Rest, String> {
    check_size(workbook)?;
    let wrong = |error: XlsxError| format!("the workbook cannot be read: {error}");
    let mut book = Xlsx::new(Cursor::new(workbook)).map_err(wrong)?;
    let mut readable = Readable::new(max);
    for (number, name) in book.sheet_names().into_iter().enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        if !readable.push(format!("{gap}## {}\n", name.replace('\n', " ")).as_bytes()) {
            break;
        }
        let mut cells = match book.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            // A sheet that is a chart has no cells.
            Err(XlsxError::NotAWorksheet(_) | XlsxError::WorksheetNotFound(_)) => continue,
            Err(error) => return Err(wrong(error)),
        };
        let (mut row, mut column) = (None, 0);
        while let Some(cell) = cells.next_cell().map_err(wrong)? {
            let text = shown(cell.get_value());
            if text.is_empty() {
                continue;
            }
            let at = cell.get_position();
            let mut part = String::new();
            if row != Some(at.0) {
                if row.is_some() {
                    part.push('\n');
                }
                (row, column) = (Some(at.0), 0);
            }
            // One comma per column in between; Google's sheets have at most 18,278 columns.
            part.extend(std::iter::repeat_n(',', at.1.saturating_sub(column).min(20_000) as usize));
            column = at.1;
            part.push_str(&quoted(text));
            if !readable.push(part.as_bytes()) {
                return Ok(readable.finish());
            }
        }
        readable.push(b"\n");
    }
    Ok(readable.finish())
}

/// Unpacks everything without keeping it: the sizes declared in the archive may be wrong.
fn check_size(workbook: &[u8]) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the workbook cannot be unpacked: {error}");
    let mut archive = ZipArchive::new(Cursor::new(workbook)).map_err(|error| wrong(&error))?;
    if archive.len() > MAX_FILES {
        return Err(format!("the workbook contains {} files", archive.len()));
    }
    let mut unpacked = 0;
    for number in 0..archive.len() {
        let file = archive.by_index(number).map_err(|error| wrong(&error))?;
        let limit = MAX_UNPACKED + 1 - unpacked;
        unpacked += io::copy(&mut file.take(limit), &mut io::sink()).map_err(|error| wrong(&error))?;
        if unpacked > MAX_UNPACKED {
            return Err(format!("the unpacked workbook is larger than {MAX_UNPACKED} bytes"));
        }
    }
    Ok(())
}

fn shown(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => if *truth { "TRUE" } else { "FALSE" }.to_owned(),
        DataRef::DateTime(time) => time_of(time),
        DataRef::Error(error) => error.to_string(),
    }
}

fn time_of(time: &ExcelDateTime) -> String {
    // Years 1900 to 9999; numbers outside are not dates.
    if !(0.0..2_958_466.0).contains(&time.as_f64()) {
        return time.as_f64().to_string();
    }
    if time.is_duration() {
        let seconds = (time.as_f64() * 86_400.0).round() as i64;
        return format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    }
    match time.as_datetime() {
        Some(at) if time.as_f64() < 1.0 => at.format("%H:%M:%S").to_string(),
        Some(at) if at.time() == chrono::NaiveTime::MIN => at.format("%Y-%m-%d").to_string(),
        Some(at) => at.format("%Y-%m-%d %H:%M:%S").to_string(),
        None => time.as_f64().to_string(),
    }
}

fn quoted(text: String) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).expect("a file");
            writer.write_all(content).expect("its content");
        }
        writer.finish().expect("an archive").into_inner()
    }

    #[test]
    fn an_invalid_workbook_is_an_error() {
        assert!(read(b"no zip", 100).err().expect("a reason").contains("cannot be unpacked"));
        assert!(read(&archive(&[("a.txt", b"a")]), 100).err().expect("a reason").contains("cannot be read"));
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_not_read() {
        let bomb = archive(&[("xl/sharedStrings.xml", &vec![b' '; MAX_UNPACKED as usize + 1])]);
        assert!(bomb.len() < 1 << 20);
        assert!(read(&bomb, 100).err().expect("a reason").contains("larger than"));
    }

    #[test]
    fn cells_are_written_as_csv() {
        assert_eq!(quoted("a".into()), "a");
        assert_eq!(quoted("a, \"b\"".into()), "\"a, \"\"b\"\"\"");
        assert_eq!(shown(&DataRef::Float(1.5)) + &shown(&DataRef::Bool(true)), "1.5TRUE");
        for (serial, text) in [
            (46_023.0, "2026-01-01"),
            (46_023.75, "2026-01-01 18:00:00"),
            (0.5, "12:00:00"),
            (-5.0, "-5"),
            (1e300, &*1e300.to_string()),
        ] {
            let time = ExcelDateTime::new(serial, calamine::ExcelDateTimeType::DateTime, false);
            assert_eq!(shown(&DataRef::DateTime(time)), text);
        }
    }
}
