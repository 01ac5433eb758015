"""What was observed and agreed, kept in SQLite. The only room that speaks SQL."""
