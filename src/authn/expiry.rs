//! The value of `expiry-time=`; does not know what time it is.

use time::{Date, Month, PrimitiveDateTime, Time};

/// Unix seconds of `YYYYMMDD[HHMM[SS]][Z|UTC]` (sshd(8)). Without a zone OpenSSH means the machine's local time; a pure
/// parser has none, so UTC is meant in both forms.
pub(super) fn parse(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let digits = upper.strip_suffix("UTC").or_else(|| upper.strip_suffix('Z')).unwrap_or(&upper);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<u16>().ok());
    let month = Month::try_from(u8::try_from(number(4, 6)?).ok()?).ok()?;
    let small = |from, to| number(from, to).and_then(|value| u8::try_from(value).ok());
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6, 8)?).ok()?;
    let time = Time::from_hms(small(8, 10)?, small(10, 12)?, small(12, 14)?).ok()?;
    // OpenSSH refuses the epoch and what lies before it.
    u64::try_from(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()).ok().filter(|&at| at > 0)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_forms_of_the_manual() {
        // `date -u -d '2026-11-20 13:14:15' +%s`
        assert_eq!(parse("20261120131415"), Some(1_795_180_455));
        assert_eq!(parse("202611201314"), Some(1_795_180_440));
        assert_eq!(parse("20261120"), Some(1_795_132_800));
        assert_eq!(parse("20261120Z"), Some(1_795_132_800));
        assert_eq!(parse("20261120utc"), Some(1_795_132_800));
        for bad in
            ["", "2026", "20261301", "20260230", "2026112025", "202611202500", "+2611201", "19700101", "20261120ZZ"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
