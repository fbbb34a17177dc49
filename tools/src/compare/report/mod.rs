//! stub
pub(crate) mod table {
    pub(crate) fn text(r: &crate::compare::row::Report) -> String {
        format!("{r:#?}\n")
    }
}
pub(crate) mod html {
    pub(crate) fn page(_: &crate::compare::row::Report) -> String {
        String::new()
    }
}
pub(crate) mod data {
    use crate::compare::row::Report;
    use crate::error::Result;
    pub(crate) fn print_json(r: &Report) -> Result<()> {
        crate::output::print_json(&r.rows)
    }
    pub(crate) fn print_csv(_: &Report) -> Result<()> {
        Ok(())
    }
}
