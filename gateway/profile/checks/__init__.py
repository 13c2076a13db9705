"""The rules of the cross-checks, one family a module. Each is pure: material and policy in, findings out."""
