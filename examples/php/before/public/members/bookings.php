<?php
require __DIR__ . '/../../lib/check.php';
$me = check_login();

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $new = sent();
    $machines = array_column(workshop()['machines'], null, 'id');
    $machine = $machines[$new['machine'] ?? ''] ?? null;
    if ($machine === null || !preg_match('/^\d{4}-\d\d-\d\d$/', $new['day'] ?? '')) {
        answer(['error' => 'bad input']);
    }
    $introduction = workshop()['introductions'][$machine['id']][$me['user']] ?? 'not booked yet';
    if ($machine['introduction'] && $introduction !== 'done') {
        answer(['error' => "introduction needed: $introduction"]);
    }
    change(function (array $all) use ($new, $me) {
        $all['bookings'][] = ['machine' => $new['machine'], 'day' => $new['day'], 'note' => $new['note'] ?? '', 'by' => $me['user']];
        return $all;
    });
    unset($_SESSION['draft']);
}
$mine = fn (array $booking) => $booking['by'] === $me['user'];
answer(['me' => $me, 'bookings' => array_values(array_filter(workshop()['bookings'], $mine))]);
