"""The simulated nation: real units that send each other documents, reports and receipts, good ones and bad."""
