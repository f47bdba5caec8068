<?php
require __DIR__ . '/../../lib/check.php';
check_login('admins');

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $new = sent();
    change(function (array $all) use ($new) {
        $all['introductions'][$new['machine']][$new['user']] = 'done';
        return $all;
    });
}
answer(['introductions' => workshop()['introductions']]);
