"""The only code that touches namespaces, interfaces, processes, sysctls and offloads."""
