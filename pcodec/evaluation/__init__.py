"""What comes out, measured: objective measures, intervals, comparisons, listening tests, pages to listen."""
