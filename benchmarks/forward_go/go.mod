module demur.example/forward

go 1.21
