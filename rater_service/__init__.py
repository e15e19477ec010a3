"""The rater: stores metering events, rates them into bills and quotes prices."""
