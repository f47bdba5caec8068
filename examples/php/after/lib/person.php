<?php
// Who is asking. demur lets nobody through to a restricted script who may not be there, and sets these
// fields itself: what a client sends under their names never arrives.

require_once __DIR__ . '/store.php';

function person(): array
{
    return [
        'user' => $_SERVER['HTTP_REMOTE_USER'],
        'name' => rawurldecode($_SERVER['HTTP_REMOTE_NAME'] ?? $_SERVER['HTTP_REMOTE_USER']),
        'groups' => array_filter(explode(',', $_SERVER['HTTP_REMOTE_GROUPS'] ?? '')),
    ];
}
