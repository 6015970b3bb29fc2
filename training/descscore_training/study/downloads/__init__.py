"""What authors distribute, turned into what studies read: one module per dataset."""
