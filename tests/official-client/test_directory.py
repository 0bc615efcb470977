"""The directory of a domain, called with Google's own client."""
from googleapiclient.errors import HttpError

from simulator import Case

SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"


class Directory(Case):
    def test_an_administrator_lists_the_users(self):
        self.simulator.admin("directory", {"user": self.ANN, "admin": True, "org_unit": "/Board"})
        self.simulator.admin("directory", {"user": self.BOB, "suspended": True})
        users = self.simulator.service("admin.directory_v1", self.simulator.delegated(self.ANN, [SCOPE])).users()
        listed, _ = self.pages(users, users.list(customer="my_customer", maxResults=1), "users")
        self.assertEqual([(user["primaryEmail"], user["suspended"]) for user in listed], [(self.ANN, False), (self.BOB, True)])
        board = self.ask(users.list(domain="example.com", query="orgUnitPath='/Board'", fields="users(primaryEmail,name/fullName)"))
        self.assertEqual([user["primaryEmail"] for user in board["users"]], [self.ANN])

    def test_others_do_not(self):
        self.simulator.admin("directory", {"user": self.ANN, "admin": True})
        self.simulator.admin("directory", {"user": self.ANN, "admin": False})
        self.simulator.admin("scopes", {"user": self.ANN, "scopes": [SCOPE]})
        users = self.simulator.service("admin.directory_v1", self.simulator.delegated(self.ANN, [SCOPE])).users()
        with self.assertRaises(HttpError) as refused:
            users.list(customer="my_customer").execute()
        self.assertEqual(refused.exception.status_code, 403)
