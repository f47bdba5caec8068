<?php
require __DIR__ . '/../../lib/store.php';

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $new = sent();
    change(function (array $all) use ($new) {
        $all['introductions'][$new['machine']][$new['user']] = 'done';
        return $all;
    });
}
answer(['introductions' => workshop()['introductions']]);
