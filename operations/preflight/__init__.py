"""`make preflight`: everything that an account, a registry or Hugging Face can refuse, asked before anything is made."""
