"""The mail server that mail comes in by: SMTP and LMTP over one handler."""
