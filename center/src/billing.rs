//! What customers used, day by day, summed up from usage logs (SYS-7). Pure but for the reader it is given.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use protocol::id::CustomerId;

use crate::dosm::Usage;

/// Bytes of a line, its end included; an ordinary one has some 80.
const LINE_BYTES_MAX: u64 = 256;

/// Which lines count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// Of this customer; without one, of all.
    pub customer: Option<CustomerId>,
    /// From this day on.
    pub since: Option<Date>,
    /// Up to this day, its end included.
    pub until: Option<Date>,
}

/// Sums for each day (UTC), customer and operation. Shown as CSV with a head line.
#[derive(Debug, Default)]
pub struct Bill {
    sums: BTreeMap<(Date, CustomerId, &'static str), Sum>,
    /// Lines that could not be read: a process that crashed left its last one unfinished.
    pub unreadable: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    done: u64,
    refused: u64,
    bytes: u64,
}

impl Bill {
    /// Adds the selected lines of a log.
    ///
    /// # Errors
    /// The log cannot be read to its end; what was read is in the sums.
    pub fn add_log(&mut self, mut log: impl BufRead, selection: Selection) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if log.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let usage = line.strip_suffix(b"\n").and_then(|line| Usage::parse(str::from_utf8(line).ok()?));
            match usage.and_then(|usage| Some((day_of(usage.at_ms)?, usage))) {
                None => self.unreadable += 1,
                Some((date, usage)) if selection.has(date, &usage) => self.add(date, &usage),
                Some(_) => {}
            }
        }
    }

    fn add(&mut self, date: Date, usage: &Usage) {
        let sum = self.sums.entry((date, usage.customer, usage.operation)).or_default();
        match usage.status {
            ..400 => sum.done += 1,
            _ => sum.refused += 1,
        }
        sum.bytes = sum.bytes.saturating_add(usage.bytes);
    }
}

/// The day (UTC) of a time in milliseconds since the epoch; `None` for one that calendars do not reach.
fn day_of(at_ms: u64) -> Option<Date> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    Some(Offset::UTC.to_datetime(at).date())
}

impl Selection {
    fn has(&self, date: Date, usage: &Usage) -> bool {
        self.customer.is_none_or(|customer| customer == usage.customer)
            && self.since.is_none_or(|since| since <= date)
            && self.until.is_none_or(|until| date <= until)
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "day,customer,operation,done,refused,bytes")?;
        for ((day, customer, operation), Sum { done, refused, bytes }) in &self.sums {
            writeln!(f, "{day},{customer},{operation},{done},{refused},{bytes}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z.
    const MORNING: u64 = 1_800_000_000_000;
    const MIDNIGHT: u64 = 1_799_971_200_000;

    fn line(at_ms: u64, customer: u32, operation: &'static str, status: u16, bytes: u64) -> String {
        let customer = CustomerId(customer);
        format!("{}\n", Usage { at_ms, customer, operation, object: None, status, bytes })
    }

    fn bill(log: &str, selection: Selection) -> Bill {
        let mut bill = Bill::default();
        bill.add_log(log.as_bytes(), selection).unwrap();
        bill
    }

    /// SYS-7: each day, customer and operation has a line; a day ends at midnight UTC.
    #[test]
    fn what_was_used_is_summed_up_by_day_customer_and_operation() {
        let log = [
            line(MORNING, 2, "store", 200, 5),
            line(MIDNIGHT - 1, 1, "fetch", 200, 1_000),
            line(MIDNIGHT, 1, "fetch", 206, 10),
            line(MORNING, 1, "fetch", 304, 0),
            line(MORNING, 1, "fetch", 403, 0),
        ]
        .concat();
        let all = bill(&log, Selection::default()).to_string();
        let head = "day,customer,operation,done,refused,bytes\n";
        let day = "2027-01-15,1,fetch,2,1,10\n";
        let eve = "2027-01-14,1,fetch,1,0,1000\n";
        assert_eq!(all, [head, eve, day, "2027-01-15,2,store,1,0,5\n"].concat());

        let first = Selection { customer: Some(CustomerId(1)), ..Selection::default() };
        assert_eq!(bill(&log, first).to_string(), [head, eve, day].concat());
        let date = Some("2027-01-15".parse().unwrap());
        assert_eq!(bill(&log, Selection { since: date, ..first }).to_string(), [head, day].concat());
        let date = Some("2027-01-14".parse().unwrap());
        assert_eq!(bill(&log, Selection { until: date, ..first }).to_string(), [head, eve].concat());
    }

    /// SYS-7: what a crash, or a mistake, left in a log is counted and spoils nothing else, however long it is.
    #[test]
    fn what_cannot_be_read_is_counted() {
        let good = line(MORNING, 1, "fetch", 200, 7);
        let longest = "x".repeat(LINE_BYTES_MAX as usize - 1) + "\n";
        let too_long = "x".repeat(LINE_BYTES_MAX as usize) + "\n";
        for (bad, count) in [(longest.as_str(), 1), (&too_long, 2), ("\n", 1), ("\u{fffd}\n", 1)] {
            let bill = bill(&[&good, bad, &good, &good[..good.len() - 1]].concat(), Selection::default());
            assert_eq!(bill.unreadable, count + 1, "{bad:?}, and a last line without its end");
            assert!(bill.to_string().ends_with("2027-01-15,1,fetch,2,0,14\n"), "{bill}");
        }
        assert_eq!(bill(&line(u64::MAX, 1, "fetch", 200, 7), Selection::default()).unreadable, 1);
    }
}
