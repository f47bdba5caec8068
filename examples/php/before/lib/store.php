<?php
// The workshop's data: one JSON file, changed under a lock. WORKSHOP_DATA puts it elsewhere.

function workshop_file(): string
{
    $file = getenv('WORKSHOP_DATA') ?: __DIR__ . '/../data/workshop.json';
    if (!file_exists($file)) {
        copy(__DIR__ . '/../data/start.json', $file);
    }
    return $file;
}

function workshop(): array
{
    return json_decode(file_get_contents(workshop_file()), true);
}

function change(callable $how): void
{
    $handle = fopen(workshop_file(), 'c+');
    flock($handle, LOCK_EX);
    $data = $how(json_decode(stream_get_contents($handle), true));
    ftruncate($handle, 0);
    rewind($handle);
    fwrite($handle, json_encode($data, JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE) . "\n");
    fclose($handle);
}

function answer(array $data): never
{
    header('Content-Type: application/json');
    echo json_encode($data, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
    exit;
}

function sent(): array
{
    return json_decode(file_get_contents('php://input'), true) ?? [];
}
