<?php
// The session check that every script begins with.

require_once __DIR__ . '/store.php';

session_start();

function check_login(string $group = ''): array
{
    if (!isset($_SESSION['user'])) {
        answer(['error' => 'not logged in']);
    }
    if (isset($_SESSION['seen']) && time() - $_SESSION['seen'] > 3600) {
        unset($_SESSION['user']);
        answer(['error' => 'not logged in']);
    }
    $_SESSION['seen'] = time();
    $person = (require __DIR__ . '/people.php')[$_SESSION['user']];
    if ($group !== '' && !in_array($group, $person['groups'], true)) {
        answer(['error' => 'not allowed']);
    }
    return ['user' => $_SESSION['user'], 'name' => $person['name'], 'groups' => $person['groups']];
}
