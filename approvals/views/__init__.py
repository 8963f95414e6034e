"""What people see and press. Each view parses, makes one domain call, and shows the result."""
