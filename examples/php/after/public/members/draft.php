<?php
// What the person is typing, kept in PHP's own session, so that it is there on the next page too.
require __DIR__ . '/../../lib/store.php';
session_start();

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $_SESSION['draft'] = sent();
}
answer(['draft' => $_SESSION['draft'] ?? null]);
