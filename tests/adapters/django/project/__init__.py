"""A Django project as people have them: its own login, the admin, REST framework and ninja."""
