"""The report of a run: info (data), figures (plotly), page (HTML)."""
