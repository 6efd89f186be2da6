"""The edXML connector (QCVN 102:2016/BTTTT): packets in and out, beside an agency's key. See README.md here."""
