<?php
require __DIR__ . '/../../lib/person.php';
$me = person();

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    session_start();
    $new = sent();
    $machines = array_column(workshop()['machines'], null, 'id');
    $machine = $machines[$new['machine'] ?? ''] ?? null;
    if ($machine === null || !preg_match('/^\d{4}-\d\d-\d\d$/', $new['day'] ?? '')) {
        http_response_code(422);
        answer(['title' => 'Choose a machine and a day']);
    }
    $introduction = workshop()['introductions'][$machine['id']][$me['user']] ?? 'not booked yet';
    if ($machine['introduction'] && $introduction !== 'done') {
        // The one thing that only this site knows. demur makes the whole refusal of it.
        header("Demur-Refuse: access-pending; detail=\"Your introduction to the {$machine['name']} is $introduction.\"");
        exit;
    }
    change(function (array $all) use ($new, $me) {
        $all['bookings'][] = ['machine' => $new['machine'], 'day' => $new['day'], 'note' => $new['note'] ?? '', 'by' => $me['user']];
        return $all;
    });
    unset($_SESSION['draft']);
}
$mine = fn (array $booking) => $booking['by'] === $me['user'];
answer(['me' => $me, 'bookings' => array_values(array_filter(workshop()['bookings'], $mine))]);
